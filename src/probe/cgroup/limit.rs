//! Limits: `memory.max` and `memory.high` of cgroup v2, `memory.limit_in_bytes` of v1.

use crate::probe::files::{Malformed, number};

/// Version 1 tells "no limit" as the largest signed number, rounded down to a page; no machine comes near this.
const V1_UNLIMITED: u64 = 1 << 62;

/// A limit in bytes; `None` for `max` (Documentation/admin-guide/cgroup-v2.rst) and for what version 1 reads where
/// nothing was set (Documentation/admin-guide/cgroup-v1/memory.rst).
pub(crate) fn limit(text: &[u8]) -> Result<Option<u64>, Malformed> {
    if text.trim_ascii() == b"max" {
        return Ok(None);
    }
    number(text).map(|bytes| (bytes < V1_UNLIMITED).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_both_ways_to_say_no_limit() {
        assert_eq!(limit(b"max\n"), Ok(None));
        assert_eq!(limit(b"9223372036854771712\n"), Ok(None), "pages of 4 KiB");
        assert_eq!(limit(b"9223372036854710272\n"), Ok(None), "pages of 64 KiB");
        assert_eq!(limit(b"67108864\n"), Ok(Some(64 << 20)));
        assert_eq!(limit(b"0\n"), Ok(Some(0)), "nothing at all is a limit");
        for bad in ["", "-1", "maximum", "64M", "max max"] {
            assert!(limit(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_limit_or_an_error(text: Vec<u8>) {
            let _ = limit(&text);
        }

        #[test]
        fn every_limit_comes_back(bytes in 0..V1_UNLIMITED) {
            prop_assert_eq!(limit(format!("{bytes}\n").as_bytes()), Ok(Some(bytes)));
        }
    }
}
