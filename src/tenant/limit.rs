use std::{fmt, str::FromStr};

use crate::capacity::{ParseSizeError, format_size, parse_size};

/// How many bytes a tenant may have stored. A limit of zero bytes admits nothing; *unlimited* is a value of its own.
///
/// ```
/// use tower_storage_guard::Limit;
///
/// assert_eq!("1.5 GiB".parse(), Ok(Limit::bytes(3 << 29)));
/// assert_eq!("unlimited".parse(), Ok(Limit::UNLIMITED));
/// assert_eq!(Limit::UNLIMITED.as_bytes(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit(u64);

/// Larger limits than this (4 EiB) are cut down to it, so that sums stay far from overflow.
const LARGEST: u64 = 1 << 62;

impl Limit {
    /// No limit at all.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// At most this many bytes. More than 4 EiB are taken for 4 EiB.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(if bytes > LARGEST { LARGEST } else { bytes })
    }

    /// The bytes, or `None` for no limit.
    #[must_use]
    pub const fn as_bytes(self) -> Option<u64> {
        match self {
            Self::UNLIMITED => None,
            Self(bytes) => Some(bytes),
        }
    }

    /// A number to compare sums of charges with.
    pub(crate) const fn bound(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bound(bound: u64) -> Self {
        if bound == u64::MAX {
            Self::UNLIMITED
        } else {
            Self::bytes(bound)
        }
    }
}

/// A size as [`parse_size`] reads it, or `unlimited`.
impl FromStr for Limit {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        if text.trim().eq_ignore_ascii_case("unlimited") {
            return Ok(Self::UNLIMITED);
        }
        parse_size(text).map(Self::bytes)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_bytes() {
            None => f.write_str("unlimited"),
            Some(bytes) => f.write_str(&format_size(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_unlimited_are_different() {
        assert_eq!(Limit::bytes(0).as_bytes(), Some(0));
        assert_eq!(" Unlimited ".parse(), Ok(Limit::UNLIMITED));
        assert_eq!("0".parse(), Ok(Limit::bytes(0)));
        assert_eq!(Limit::bytes(u64::MAX).as_bytes(), Some(LARGEST));
        assert!(Limit::bytes(u64::MAX) < Limit::UNLIMITED);
        for text in ["", "none", "-1", "unlimited bytes"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn is_written_as_people_read_it() {
        assert_eq!(Limit::bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Limit::UNLIMITED.to_string(), "unlimited");
    }
}
