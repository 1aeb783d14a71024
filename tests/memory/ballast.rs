//! Ballast on file systems that are full, or cannot set room aside.

use std::{fs, io, path::Path};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use tower_storage_guard::{Ballast, BallastErrorKind};

use crate::support::{MIB, or_skip};

#[test]
fn released_on_a_full_disk_it_makes_room_and_comes_back_when_there_is_some() {
    let volume = or_skip!(Volume::mount("tmpfs", c"size=16m"));
    let ballast = Ballast::create(volume.path().join("ballast"), 8 * MIB).expect("created");
    let fill = vec![1_u8; 32 << 20];
    let data = volume.path().join("data");
    let error = fs::write(&data, &fill).expect_err("it gets full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let error = fs::write(volume.path().join("lock"), b"a lock").expect_err("not even a lock");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);

    assert!(ballast.release().expect("released") >= 8 * MIB);
    fs::write(volume.path().join("lock"), b"a lock").expect("room for the lock");
    fs::write(volume.path().join("more"), vec![1_u8; 7 << 20]).expect("and for more");

    assert!(!ballast.rebuild_if_room(MIB).expect("measured"), "full again");
    let error = Ballast::create(ballast.path(), 8 * MIB).expect_err("no room");
    assert_eq!(error.kind(), BallastErrorKind::NoRoom);
    assert!(!ballast.path().exists());

    fs::remove_file(&data).expect("cleaned up");
    assert!(
        !ballast.rebuild_if_room(2 * MIB).expect("measured"),
        "8 + 2 do not fit into 8 and some"
    );
    assert!(ballast.rebuild_if_room(MIB / 2).expect("rebuilt"));
    assert!(ballast.is_in_place().expect("looked at"));
}

#[test]
fn more_than_there_is_is_not_even_tried() {
    let volume = or_skip!(Volume::mount("tmpfs", c"size=16m"));
    let path = volume.path().join("ballast");
    let error = Ballast::create(&path, 17 * MIB).expect_err("more than there is");
    assert_eq!(error.kind(), BallastErrorKind::NoRoom);
    // Some file systems fill up before they fail.
    assert!(
        error.to_string().contains("17825792 bytes wanted, 16777216 available"),
        "{error}"
    );
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn one_that_cannot_grow_stays_as_it_was() {
    let volume = or_skip!(Volume::mount("tmpfs", c"size=16m"));
    let path = volume.path().join("ballast");
    let small = Ballast::create(&path, 12 * MIB).expect("created");
    let error = Ballast::create(&path, 17 * MIB).expect_err("more than there is");
    assert_eq!(error.kind(), BallastErrorKind::NoRoom);
    assert!(small.is_in_place().expect("looked at"));
    assert_eq!(fs::metadata(&path).expect("there").len(), 12 * MIB);
    Ballast::create(&path, 15 * MIB).expect("3 MiB more fit: what it owns already counts");
}

#[test]
fn a_file_system_that_cannot_set_room_aside_is_told() {
    let volume = or_skip!(Volume::mount("ramfs", c""));
    let path = volume.path().join("ballast");
    let error = Ballast::create(&path, MIB).expect_err("ramfs has no blocks");
    assert_eq!(error.kind(), BallastErrorKind::Unsupported);
    assert!(
        error.to_string().contains("cannot be set aside on this file system"),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert!(!path.exists(), "nothing is left behind");
}

/// A file system in memory.
struct Volume(TempDir);

impl Volume {
    fn mount(kind: &str, options: &std::ffi::CStr) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a directory");
        mount("none", dir.path(), kind, MountFlags::empty(), options)
            .map_err(|error| format!("{kind} cannot be mounted: {error}"))?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
