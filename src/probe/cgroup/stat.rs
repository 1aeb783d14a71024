//! `memory.stat`.

use super::limit::limit;
use crate::probe::files::{Malformed, number};

/// What matters of a group's `memory.stat`, its descendants included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Page cache, in bytes, that has not been used again since it was read or written: the kernel drops it before
    /// anything else.
    pub(crate) inactive_file: u64,
    /// The least limit of this group and all above it, also those that a namespace hides; version 1 tells it.
    pub(crate) hierarchical_limit: Option<u64>,
}

/// One `name value` a line. Version 2 counts descendants in (Documentation/admin-guide/cgroup-v2.rst); version 1 has
/// `total_` fields for that (Documentation/admin-guide/cgroup-v1/memory.rst, section 5.2).
pub(crate) fn stat(text: &[u8]) -> Result<Stat, Malformed> {
    let (mut own, mut total, mut hierarchical_limit) = (None, None, None);
    for line in text.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            continue;
        };
        // Tens of other fields are none of our business, whatever they hold.
        let (name, value) = line.split_at(space);
        match name {
            b"inactive_file" => own = Some(number(value)?),
            b"total_inactive_file" => total = Some(number(value)?),
            b"hierarchical_memory_limit" => hierarchical_limit = limit(value)?,
            _ => {}
        }
    }
    Ok(Stat {
        inactive_file: total.or(own).ok_or_else(|| Malformed::lacks("`inactive_file`"))?,
        hierarchical_limit,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_versions() {
        let v2 = b"anon 100\nfile 5000\ninactive_anon 7\ninactive_file 3000\nactive_file 2000\n";
        let expected = Stat {
            inactive_file: 3000,
            hierarchical_limit: None,
        };
        assert_eq!(stat(v2), Ok(expected));

        let v1 = b"cache 1\ninactive_file 10\nhierarchical_memory_limit 67108864\ntotal_inactive_file 3000\n";
        let expected = Stat {
            inactive_file: 3000,
            hierarchical_limit: Some(64 << 20),
        };
        assert_eq!(stat(v1), Ok(expected), "descendants are counted in");
    }

    #[test]
    fn a_text_without_the_field_or_with_nonsense_in_it_is_an_error() {
        for bad in [
            "",
            "anon 1\n",
            "inactive_file\n",
            "inactive_file x\n",
            "inactive_file -1\n",
        ] {
            assert!(stat(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(
            stat(b"anon nonsense\ninactive_file 1\n").is_ok(),
            "other fields do not matter"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_figures_or_an_error(text: Vec<u8>) {
            let _ = stat(&text);
        }

        #[test]
        fn any_lines_are_figures_or_an_error(text in "((total_)?inactive_file [0-9x]{0,21}\n|hierarchical_memory_limit [0-9a-x]*\n)*") {
            let _ = stat(text.as_bytes());
        }

        #[test]
        fn the_field_comes_back(anon: u64, inactive_file: u64) {
            let text = format!("anon {anon}\ninactive_file {inactive_file}\nunevictable 0\n");
            prop_assert_eq!(stat(text.as_bytes()).map(|stat| stat.inactive_file), Ok(inactive_file));
        }
    }
}
