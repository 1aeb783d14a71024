#[cfg(any(test, not(unix)))]
mod portable;
#[cfg(unix)]
mod unix;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

#[cfg(not(unix))]
use portable::look_at;
#[cfg(unix)]
use unix::look_at;

use super::{CapacityProbe, ProbeError};
use crate::capacity::Reading;

/// Measures the file system that a path lies on.
///
/// On Unix one measurement is an `fstatvfs` on a descriptor that is opened anew each time, so that a mount that comes
/// or goes is noticed. What counts as available is what an unprivileged process may use (`f_bavail`), and the total is
/// without the part reserved for the superuser; inodes and read-only mounts are told. Elsewhere the crate `fs4` tells
/// the sizes, and inodes and mount points are unknown.
///
/// ```
/// use tower_storage_guard::{CapacityProbe, DiskProbe};
///
/// let mut probe = DiskProbe::new(std::env::temp_dir());
/// let reading = probe.measure().unwrap();
/// assert!(reading.available <= reading.total);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DiskProbe {
    path: PathBuf,
    expect_mount: bool,
    any_file_system: bool,
    lag: Option<Duration>,
    identity: Option<u64>,
}

impl DiskProbe {
    /// A probe of the file system that holds `path`, a directory or a file. Nothing is looked at yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            expect_mount: false,
            any_file_system: false,
            lag: None,
            identity: None,
        }
    }

    /// The path must be the root of a mount, or the measurement fails. Without this a volume that was not mounted is
    /// measured as the file system below it, usually the system disk. Has no effect on systems other than Unix.
    pub const fn expect_mount(mut self) -> Self {
        self.expect_mount = true;
        self
    }

    /// Accepts that another file system appears at the path later. By default the measurement then fails until the
    /// first one is back, because bytes counted against one disk say nothing about another.
    pub const fn any_file_system(mut self) -> Self {
        self.any_file_system = true;
        self
    }

    /// Sets how long a write may take until free space shows it. The default knows btrfs and the network file systems
    /// NFS and CIFS (30 s), ZFS (10 s, two transaction groups), and takes all others as immediate.
    pub const fn lag(mut self, lag: Duration) -> Self {
        self.lag = Some(lag);
        self
    }

    /// The path that is measured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl CapacityProbe for DiskProbe {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        let volume = look_at(&self.path).map_err(|error| ProbeError::io(&self.path, error))?;
        if self.expect_mount && volume.is_mount_root == Some(false) {
            return Err(ProbeError::not_mounted(&self.path));
        }
        if !self.any_file_system && volume.identity.is_some() {
            let first = self.identity.or(volume.identity);
            if first != volume.identity {
                return Err(ProbeError::file_system_changed(&self.path));
            }
            self.identity = first;
        }
        let lag = self.lag.unwrap_or(volume.reading.lag);
        Ok(volume.reading.with_lag(lag))
    }
}

/// What a look at a path tells.
#[derive(Debug)]
struct Volume {
    reading: Reading,
    /// Which file system it is, where the system tells.
    identity: Option<u64>,
    is_mount_root: Option<bool>,
}

/// An error for figures that make no sense.
fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file system reports {what}"))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::ProbeErrorKind;

    #[test]
    fn measures_a_directory_and_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, b"content").expect("written");
        for path in [dir.path(), &file] {
            let reading = DiskProbe::new(path).measure().expect("exists");
            assert!(reading.total > 0 && reading.available <= reading.total, "{reading:?}");
        }
    }

    #[test]
    fn a_missing_path_is_named() {
        let error = DiskProbe::new("/no/such/place").measure().expect_err("missing");
        assert_eq!(error.kind(), ProbeErrorKind::NotFound);
        assert!(error.to_string().contains("/no/such/place"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_path_with_a_nul_byte_is_an_error() {
        assert!(DiskProbe::new("nul\0byte").measure().is_err());
    }

    #[test]
    fn the_portable_way_agrees_with_the_native_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let native = look_at(dir.path()).expect("exists").reading;
        let portable = portable::look_at(dir.path()).expect("exists").reading;
        assert_eq!(native.block_size, portable.block_size);
        let close = |a: u64, b: u64| a.abs_diff(b) <= a.max(b) / 10;
        assert!(close(native.available, portable.available), "{native:?} {portable:?}");
        assert!(close(native.total, portable.total), "{native:?} {portable:?}");
    }

    #[cfg(unix)]
    #[test]
    fn knows_a_mount_point_from_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = DiskProbe::new(dir.path())
            .expect_mount()
            .measure()
            .expect_err("a plain directory");
        assert_eq!(error.kind(), ProbeErrorKind::NotMounted);
        DiskProbe::new("/")
            .expect_mount()
            .measure()
            .expect("the root is a mount");
    }

    #[test]
    fn another_file_system_is_a_failure_unless_it_is_welcome() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut probe = DiskProbe::new(dir.path());
        probe.measure().expect("exists");
        probe.identity = probe.identity.map(|identity| identity ^ 1);
        if probe.identity.is_some() {
            let error = probe.measure().expect_err("not the first one");
            assert_eq!(error.kind(), ProbeErrorKind::FileSystemChanged);
            probe.any_file_system().measure().expect("welcome");
        }
    }

    #[test]
    fn a_lag_that_is_set_wins() {
        let lag = Duration::from_secs(7);
        assert_eq!(DiskProbe::new(".").lag(lag).measure().expect("exists").lag, lag);
    }
}
