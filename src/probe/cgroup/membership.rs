//! `/proc/self/cgroup`.

use crate::probe::files::Malformed;

/// The groups a process is in, as paths below the root of its cgroup namespace. Any bytes may stand in a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// In the hierarchy of version 1 that has the memory controller.
    pub(crate) memory_v1: Option<Vec<u8>>,
    /// In the hierarchy of version 2.
    pub(crate) v2: Option<Vec<u8>>,
}

/// One `id:controllers:path` a line; version 2 has id 0 and names no controllers (cgroups(7)).
pub(crate) fn membership(text: &[u8]) -> Result<Membership, Malformed> {
    let mut found = Membership::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let malformed = || Malformed::new("`id:controllers:/path`", line);
        // A path may have colons in it.
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(malformed());
        };
        if !path.starts_with(b"/") {
            return Err(malformed());
        }
        if id == b"0" && controllers.is_empty() {
            found.v2 = Some(path.to_vec());
        } else if controllers.split(|byte| *byte == b',').any(|name| name == b"memory") {
            found.memory_v1 = Some(path.to_vec());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_v1_v2_and_hybrid() {
        let of = |text: &str| {
            let Membership { memory_v1, v2 } = membership(text.as_bytes()).expect("sound");
            let text = |path: Option<Vec<u8>>| path.map(|path| String::from_utf8(path).expect("UTF-8"));
            (text(memory_v1), text(v2))
        };
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(of("0::/user.slice/a:b\n"), (None, some("/user.slice/a:b")));
        assert_eq!(of("4:cpu,memory:/job\n3:name=systemd:/x\n"), (some("/job"), None));
        assert_eq!(
            of("4:memory:/yes\n3:name=memory:/no\n0::/\n"),
            (some("/yes"), some("/"))
        );
        assert_eq!(of(""), (None, None), "a kernel without groups");
    }

    #[test]
    fn what_is_not_a_line_is_an_error() {
        for bad in ["0", "0:", "0::", "0::relative", "no colon\n", "4:memory\n"] {
            assert!(membership(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_groups_or_an_error(text: Vec<u8>) {
            let _ = membership(&text);
        }

        #[test]
        fn every_path_comes_back(path in "/[^\n]*") {
            let found = membership(format!("7:memory:{path}\n0::{path}\n").as_bytes()).expect("sound");
            prop_assert_eq!(found.v2.as_deref(), Some(path.as_bytes()));
            prop_assert_eq!(found.memory_v1.as_deref(), Some(path.as_bytes()));
        }
    }
}
