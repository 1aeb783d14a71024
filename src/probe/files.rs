//! Small text files of the kernel.

use std::{fs, io, path::Path};

use super::ProbeError;

/// What is wrong with a text. Whoever read it adds the name of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(String);

impl Malformed {
    /// A text that holds something else than `expected`. Only the beginning of what was found is kept.
    pub(super) fn new(expected: &str, found: &[u8]) -> Self {
        const SHOWN: usize = 60;
        let shown = String::from_utf8_lossy(found.get(..SHOWN).unwrap_or(found));
        let dots = if found.len() > SHOWN { "…" } else { "" };
        Self(format!("{expected} expected, found {shown:?}{dots}"))
    }

    /// A text that lacks something.
    pub(super) fn lacks(what: &str) -> Self {
        Self(format!("no {what} in it"))
    }
}

/// Reads a file and makes sense of it.
///
/// # Errors
///
/// When it cannot be read, or `parse` makes no sense of it; both name the file.
pub(super) fn read<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, Malformed>) -> Result<T, ProbeError> {
    let text = fs::read(path).map_err(|error| ProbeError::unreadable(path, error))?;
    parse(&text).map_err(|Malformed(what)| ProbeError::malformed(path, &what))
}

/// As [`read`], with `None` for a file that does not exist, or that the kernel was told not to support.
pub(super) fn read_if_there<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<Option<T>, ProbeError> {
    match fs::read(path) {
        Ok(text) => parse(&text)
            .map(Some)
            .map_err(|Malformed(what)| ProbeError::malformed(path, &what)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(ProbeError::unreadable(path, error)),
    }
}

/// Pressure that is switched off at start is told as "not supported" when the file is opened.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported)
}

/// A decimal number of digits only, with white space around it.
pub(super) fn number(text: &[u8]) -> Result<u64, Malformed> {
    let digits = text.trim_ascii();
    let not_a_number = || Malformed::new("a number", digits);
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(not_a_number());
    }
    // An empty text and a number that is too large fail here.
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(not_a_number)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use proptest::prelude::*;

    use super::*;
    use crate::ProbeErrorKind;

    #[test]
    fn tells_which_file_is_missing_unreadable_or_malformed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("figure");
        let missing = read(&file, number).expect_err("missing");
        assert_eq!(missing.kind(), ProbeErrorKind::NotFound);
        assert_eq!(read_if_there(&file, number).expect("no error"), None);

        fs::write(&file, "12 apples").expect("written");
        for error in [read(&file, number).err(), read_if_there(&file, number).err()] {
            let error = error.expect("malformed");
            assert_eq!(error.kind(), ProbeErrorKind::Malformed);
            assert!(
                error.to_string().contains("figure") && error.to_string().contains("12 apples"),
                "{error}"
            );
        }

        // A directory can be opened but not read, also by the superuser.
        for error in [read(dir.path(), number).err(), read_if_there(dir.path(), number).err()] {
            let error = error.expect("unreadable");
            assert_eq!(error.kind(), ProbeErrorKind::Io);
            assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
            assert!(error.source().is_some());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_was_told_not_to_support_is_absent() {
        use rustix::io::Errno;

        let is_absence = |errno: Errno| is_absence(&errno.into());
        assert!(is_absence(Errno::OPNOTSUPP) && is_absence(Errno::NOENT));
        assert!(!is_absence(Errno::ACCESS) && !is_absence(Errno::NODEV) && !is_absence(Errno::IO));
    }

    #[test]
    fn a_long_text_is_shown_in_part() {
        let Malformed(what) = Malformed::new("a number", &[b'x'; 10_000]);
        assert!(what.len() < 200 && what.ends_with('…'), "{what}");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"67108864\n"), Ok(67_108_864));
        assert_eq!(number(u64::MAX.to_string().as_bytes()), Ok(u64::MAX));
        for bad in ["", "\n", "-1", "+1", "0x10", "1 2", "18446744073709551616", "max"] {
            assert!(number(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_an_error(text: Vec<u8>) {
            let _ = number(&text);
        }

        #[test]
        fn every_number_comes_back(value: u64) {
            prop_assert_eq!(number(format!("{value}\n").as_bytes()), Ok(value));
        }
    }
}
