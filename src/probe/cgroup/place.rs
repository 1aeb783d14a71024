//! Where the group of this process is found in the file system.

use std::path::{Path, PathBuf};

use super::{Version, mounts::Mount};

/// One hierarchy as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) version: Version,
    /// The directory of its own group, then those above it up to the mount point: the root of the hierarchy, or of what
    /// a container sees of it. Never empty.
    pub(crate) levels: Vec<PathBuf>,
}

/// Own group is mounted nowhere that can be named from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hidden;

impl Place {
    /// Finds `group` below one of the mounts; paths are taken as lying below `fs_root`. `None` where nothing of this
    /// version is mounted: then no limits can be seen.
    ///
    /// Both the group and what a mount shows are told relative to the root of the cgroup namespace, with `..` for what
    /// lies above it (cgroup_namespaces(7)).
    pub(crate) fn find(
        version: Version,
        group: &[u8],
        mounts: &[Mount],
        fs_root: &Path,
    ) -> Result<Option<Self>, Hidden> {
        let mut mounts = mounts.iter().filter(|mount| mount.version == version).peekable();
        if mounts.peek().is_none() {
            return Ok(None);
        }
        mounts
            .filter_map(|mount| {
                let names = below(group, &mount.root)?;
                let point = mount.point.strip_prefix(b"/").unwrap_or(&mount.point);
                let mut dir = fs_root.join(path(point)?);
                let mut levels = vec![dir.clone()];
                for name in names {
                    dir.push(path(name)?);
                    levels.push(dir.clone());
                }
                levels.reverse();
                Some(Self { version, levels })
            })
            // A hierarchy may be mounted more than once: the one that shows most.
            .max_by_key(|place| place.levels.len())
            .map(Some)
            .ok_or(Hidden)
    }
}

/// The names that lead from the group that a mount shows down to `group`.
fn below<'a>(group: &'a [u8], shown: &[u8]) -> Option<Vec<&'a [u8]>> {
    let shown = shown.strip_suffix(b"/").unwrap_or(shown);
    let rest = group.strip_prefix(shown)?;
    if !rest.is_empty() && !rest.starts_with(b"/") {
        return None;
    }
    let names: Vec<_> = rest
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let goes_up = names.iter().any(|name| matches!(*name, b".." | b"."));
    (!goes_up).then_some(names)
}

#[cfg(unix)]
fn path(name: &[u8]) -> Option<&Path> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    Some(Path::new(OsStr::from_bytes(name)))
}

#[cfg(not(unix))]
fn path(name: &[u8]) -> Option<&Path> {
    std::str::from_utf8(name).ok().map(Path::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn levels(group: &str, mounts: &[(&str, &str)]) -> Result<Vec<String>, Hidden> {
        let mounts: Vec<_> = mounts
            .iter()
            .map(|(root, point)| Mount {
                version: Version::V2,
                root: root.as_bytes().to_vec(),
                point: point.as_bytes().to_vec(),
            })
            .collect();
        let place = Place::find(Version::V2, group.as_bytes(), &mounts, Path::new("/"))?;
        let levels = place.map(|place| place.levels).unwrap_or_default();
        Ok(levels.iter().map(|level| level.display().to_string()).collect())
    }

    #[test]
    fn goes_from_the_own_group_up_to_the_mount_point() {
        let host = levels("/user.slice/app", &[("/", "/sys/fs/cgroup")]).expect("found");
        assert_eq!(
            host,
            [
                "/sys/fs/cgroup/user.slice/app",
                "/sys/fs/cgroup/user.slice",
                "/sys/fs/cgroup"
            ]
        );
        let namespace = levels("/", &[("/", "/sys/fs/cgroup")]).expect("found");
        assert_eq!(namespace, ["/sys/fs/cgroup"]);
        // A container without a namespace of its own sees host paths, and only its part is mounted.
        let bound = levels("/docker/1/init", &[("/docker/1", "/cg")]).expect("found");
        assert_eq!(bound, ["/cg/init", "/cg"]);
        // Moved out of the namespace's root, whose parent is mounted.
        let above = levels("/../other", &[("/..", "/cg")]).expect("found");
        assert_eq!(above, ["/cg/other", "/cg"]);
    }

    #[test]
    fn takes_the_mount_that_shows_most() {
        let mounts = [("/a/b", "/part"), ("/", "/all"), ("/other", "/other")];
        assert_eq!(levels("/a/b", &mounts).expect("found"), ["/all/a/b", "/all/a", "/all"]);
    }

    #[test]
    fn a_group_outside_of_all_mounts_is_hidden_and_no_mount_is_no_limit() {
        for (group, shown) in [("/a", "/b"), ("/ab", "/a"), ("/", "/.."), ("/../x", "/"), ("/", "/a")] {
            assert_eq!(levels(group, &[(shown, "/cg")]), Err(Hidden), "{group} {shown}");
        }
        assert_eq!(levels("/a", &[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn never_leaves_the_mount_point(group: Vec<u8>, shown: Vec<u8>) {
            let mount = Mount { version: Version::V1, root: shown, point: b"/cg".to_vec() };
            if let Ok(Some(place)) = Place::find(Version::V1, &group, &[mount], Path::new("/tree")) {
                for level in place.levels {
                    prop_assert!(level.starts_with("/tree/cg"), "{level:?}");
                    prop_assert!(!level.components().any(|part| part == std::path::Component::ParentDir));
                }
            }
        }
    }
}
