//! `/proc/self/mountinfo`, as far as groups are concerned.

use super::Version;
use crate::probe::files::Malformed;

/// A mounted hierarchy of groups. Any bytes may stand in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) version: Version,
    /// Which group is seen at the mount point, as a path below the root of the cgroup namespace.
    pub(crate) root: Vec<u8>,
    pub(crate) point: Vec<u8>,
}

/// The mounts of cgroup v2, and of v1 with the memory controller. A line is `id parent device root point options
/// [optional…] - type source super-options` (Documentation/filesystems/proc.rst, section 3.5).
pub(crate) fn mounts(text: &[u8]) -> Result<Vec<Mount>, Malformed> {
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let malformed = || Malformed::new("a mount", line);
        let mut fields = line.split(|byte| *byte == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else {
            return Err(malformed());
        };
        let mut details = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = details.next().ok_or_else(malformed)?;
        let version = match kind {
            b"cgroup2" => Version::V2,
            b"cgroup" if has_memory(details.nth(1).ok_or_else(malformed)?) => Version::V1,
            _ => continue,
        };
        found.push(Mount {
            version,
            root: unescape(root),
            point: unescape(point),
        });
    }
    Ok(found)
}

fn has_memory(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == b"memory")
}

/// White space and backslashes are written as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                let digit = |digit: &u8| digit - b'0';
                Some((digit(a) << 6 | digit(b) << 3 | digit(c), after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((byte, after));
        plain.push(byte);
        rest = after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<(Version, String, String)> {
        let string = |bytes| String::from_utf8(bytes).expect("UTF-8");
        mounts(text.as_bytes())
            .expect("sound")
            .into_iter()
            .map(|mount| (mount.version, string(mount.root), string(mount.point)))
            .collect()
    }

    #[test]
    fn finds_the_groups_among_other_mounts() {
        let text = "\
            22 27 0:21 / /proc rw - proc proc rw\n\
            34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
            35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro,nosuid master:9 shared:2 - cgroup cgroup rw,cpu,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
            50 27 0:40 / /odd rw - tmpfs  rw\n";
        let string = str::to_owned;
        assert_eq!(
            of(text),
            [
                (Version::V1, string("/docker/1"), string("/sys/fs/cgroup/memory")),
                (Version::V2, string("/"), string("/sys/fs/cgroup/unified")),
            ]
        );
    }

    #[test]
    fn takes_escapes_back() {
        let text = r"35 31 0:32 /a\040b /c\134d\011\08 rw - cgroup2 none rw";
        assert_eq!(of(text), [(Version::V2, "/a b".to_owned(), "/c\\d\t\\08".to_owned())]);
    }

    #[test]
    fn what_is_not_a_line_is_an_error() {
        for bad in [
            "x",
            "1 2 3 4",
            "1 2 3 / /p rw",
            "1 2 3 / /p rw -",
            "1 2 3 / /p rw - cgroup",
            "1 2 3 / /p rw - cgroup c",
        ] {
            assert!(mounts(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_mounts_or_an_error(text: Vec<u8>) {
            let _ = mounts(&text);
        }

        #[test]
        fn every_path_comes_back(path: Vec<u8>) {
            let mut line = b"1 2 0:3 / ".to_vec();
            for byte in &path {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => line.extend(format!("\\{byte:03o}").into_bytes()),
                    byte => line.push(*byte),
                }
            }
            line.extend(b" rw - cgroup2 none rw");
            let found = mounts(&line).expect("sound");
            prop_assert_eq!(found.first().map(|mount| &mount.point), Some(&path));
        }
    }
}
