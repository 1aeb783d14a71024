//! Unix, through `fstatvfs`.

use std::{io, os::fd::OwnedFd, path::Path, time::Duration};

use rustix::fs::{CWD, Mode, OFlags, StatVfs, StatVfsMountFlags, fstat, fstatvfs, openat};

use super::{Volume, nonsense};
use crate::capacity::Reading;

pub(super) fn look_at(path: &Path) -> io::Result<Volume> {
    let place = openat(CWD, path, open_flags(), Mode::empty())?;
    let figures = fstatvfs(&place)?;
    let (identity, is_mount_root) = identify(&place, path)?;
    Ok(Volume {
        reading: reading(&figures)?.with_lag(lag_of(&place)?),
        identity: Some(identity),
        is_mount_root: Some(is_mount_root),
    })
}

fn reading(figures: &StatVfs) -> io::Result<Reading> {
    // Some file systems leave the fragment size empty; POSIX counts in fragments.
    let unit = if figures.f_frsize == 0 {
        figures.f_bsize
    } else {
        figures.f_frsize
    };
    if figures.f_blocks == 0 || unit == 0 {
        return Err(nonsense("no size"));
    }
    let bytes = |blocks: u64| blocks.saturating_mul(unit);
    // What is reserved for the superuser can never be had by others, so it is no part of the total.
    let reserved = figures.f_bfree.saturating_sub(figures.f_bavail);
    let reading = Reading::new(
        bytes(figures.f_blocks.saturating_sub(reserved)),
        bytes(figures.f_bavail),
    )
    .with_block_size(u32::try_from(unit).unwrap_or(1))
    .with_writable(!figures.f_flag.contains(StatVfsMountFlags::RDONLY));
    // No inodes at all means that the file system has no limit of them, not that none is left.
    Ok(match figures.f_files {
        0 => reading,
        total => reading.with_inodes(total, figures.f_favail),
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_flags() -> OFlags {
    // Needs no permission to read, and never waits for a device or a pipe.
    OFlags::PATH | OFlags::CLOEXEC
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC
}

/// The device and whether this is the root of a mount.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn identify(place: &OwnedFd, path: &Path) -> io::Result<(u64, bool)> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    use rustix::io::Errno;

    match statx(place, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
        Ok(status) if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            let device = (u64::from(status.stx_dev_major) << 32) | u64::from(status.stx_dev_minor);
            Ok((device, status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)))
        }
        // Before Linux 5.8 the attribute is unknown, and a sandbox may forbid the call.
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => identify_by_parent(place, path),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use identify_by_parent as identify;

/// A mount's root lies on another device than its parent; the root of all is its own parent.
fn identify_by_parent(place: &OwnedFd, path: &Path) -> io::Result<(u64, bool)> {
    let own = fstat(place)?;
    let parent = rustix::fs::stat(path.join(".."));
    let is_mount_root = match parent {
        Ok(parent) => parent.st_dev != own.st_dev || parent.st_ino == own.st_ino,
        // A file has no `..`.
        Err(_) => false,
    };
    #[allow(clippy::useless_conversion, reason = "the width and sign differ between systems")]
    Ok((own.st_dev as u64, is_mount_root))
}

/// How late free space shows a write.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn lag_of(place: &OwnedFd) -> io::Result<Duration> {
    // Magic numbers from linux/magic.h and the ZFS sources. btrfs was measured; ZFS accounts by transaction groups of
    // 5 s; on network file systems dirty pages wait for `dirty_expire_centisecs`, 30 s.
    const BTRFS: u32 = 0x9123_683E;
    const ZFS: u32 = 0x2FC1_2FC1;
    const NFS: u32 = 0x6969;
    const CIFS: u32 = 0xFF53_4D42;
    const SMB2: u32 = 0xFE53_4D42;
    let kind = rustix::fs::fstatfs(place)?.f_type as u32;
    Ok(Duration::from_secs(match kind {
        BTRFS | NFS | CIFS | SMB2 => 30,
        ZFS => 10,
        _ => 0,
    }))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn lag_of(_: &OwnedFd) -> io::Result<Duration> {
    Ok(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> StatVfs {
        let mut figures = rustix::fs::statvfs("/").expect("exists");
        figures.f_frsize = 1024;
        figures.f_bsize = 4096;
        figures.f_blocks = 1000;
        figures.f_bfree = 500;
        figures.f_bavail = 450;
        figures.f_files = 100;
        figures.f_favail = 90;
        figures.f_flag = StatVfsMountFlags::empty();
        figures
    }

    #[test]
    fn counts_fragments_that_others_may_use() {
        let reading = reading(&figures()).expect("sound");
        assert_eq!(
            reading,
            Reading::new(950 * 1024, 450 * 1024)
                .with_block_size(1024)
                .with_inodes(100, 90)
        );
    }

    #[test]
    fn no_inodes_at_all_means_no_limit() {
        let reading = reading(&StatVfs {
            f_files: 0,
            f_favail: 0,
            ..figures()
        })
        .expect("sound");
        assert_eq!(reading.inodes, None);
    }

    #[test]
    fn figures_without_sense_are_errors_and_large_ones_saturate() {
        assert!(
            reading(&StatVfs {
                f_blocks: 0,
                ..figures()
            })
            .is_err()
        );
        assert!(
            reading(&StatVfs {
                f_frsize: 0,
                f_bsize: 0,
                ..figures()
            })
            .is_err()
        );
        let odd = StatVfs {
            f_blocks: u64::MAX,
            f_bavail: u64::MAX,
            f_bfree: 0,
            ..figures()
        };
        assert_eq!(reading(&odd).expect("saturates").available, u64::MAX);
    }

    #[test]
    fn a_read_only_mount_is_not_writable() {
        let read_only = StatVfs {
            f_flag: StatVfsMountFlags::RDONLY,
            ..figures()
        };
        assert!(!reading(&read_only).expect("sound").writable);
    }

    #[test]
    fn both_ways_to_find_a_mount_root_agree() {
        for path in ["/", "/proc", "/usr"] {
            let path = Path::new(path);
            let place = openat(CWD, path, open_flags(), Mode::empty()).expect("exists");
            let (_, by_statx) = identify(&place, path).expect("known");
            let (_, by_parent) = identify_by_parent(&place, path).expect("known");
            assert_eq!(by_statx, by_parent, "{}", path.display());
        }
    }
}
