use std::fmt;

/// A tenant's name in the table: short ones lie in place, so that comparing them costs no further look at memory.
#[derive(Clone)]
pub(super) enum Name {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

/// What fits beside a tag and a length in the space of three pointers.
const SHORT: usize = 22;

/// Longer names are refused: they come from clients, and each is kept for as long as its tenant has anything stored.
const LONGEST_NAME: usize = 256;

/// Returns whether this is a valid tenant name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
}

impl Name {
    pub(super) fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short {
                    length: name.len() as u8,
                    bytes,
                }
            }
            None => Self::Long(name.into()),
        }
    }

    #[inline]
    pub(super) fn is(&self, name: &str) -> bool {
        self.as_bytes() == name.as_bytes()
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(name) => name.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        // Made of a `str`, so it is one.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_or_short_it_is_what_it_was() {
        assert_eq!(size_of::<Name>(), 24);
        for name in [
            "",
            "a",
            "é",
            "twenty-two bytes long!",
            "twenty-three bytes long",
            &"x".repeat(LONGEST_NAME),
        ] {
            let kept = Name::new(name);
            assert_eq!(kept.as_str(), name);
            assert!(kept.is(name));
            assert!(!kept.is("another"));
        }
    }
}
