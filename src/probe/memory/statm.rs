//! `/proc/self/statm`.

use crate::probe::files::{Malformed, number};

/// The resident set in pages: the second of the figures (Documentation/filesystems/proc.rst, table 1-3).
pub(crate) fn resident_pages(text: &[u8]) -> Result<u64, Malformed> {
    let field = text.split(u8::is_ascii_whitespace).nth(1);
    number(field.ok_or_else(|| Malformed::new("page counts", text))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_the_second_figure() {
        assert_eq!(resident_pages(b"1520 311 290 5 0 110 0\n"), Ok(311));
        for bad in ["", "1520", "1520 ", "1520 x 290"] {
            assert!(resident_pages(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_pages_or_an_error(text: Vec<u8>) {
            let _ = resident_pages(&text);
        }

        #[test]
        fn every_figure_comes_back(size: u64, resident: u64) {
            prop_assert_eq!(resident_pages(format!("{size} {resident} 0 0 0 0 0\n").as_bytes()), Ok(resident));
        }
    }
}
