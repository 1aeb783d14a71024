//! Small real file systems.

#![allow(dead_code, reason = "no test needs all of it")]

use std::{
    env,
    ffi::OsStr,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
};

use tempfile::TempDir;

/// A file system of its own, mounted in a temporary directory. Unmounted when it is dropped; whatever has files open
/// there should end before.
#[derive(Debug)]
pub(crate) struct Volume {
    path: PathBuf,
    mounted: bool,
    dir: TempDir,
}

/// Why there is no volume: no test can tell anything here.
#[derive(Debug)]
pub(crate) struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl Volume {
    /// An ext4 image of this many bytes; about 10 MiB less can be used.
    pub(crate) fn ext4(size: u64) -> Result<Self, Skip> {
        let dir = Self::mount_point()?;
        let image = dir.path().join("image");
        fs::File::create(&image)
            .and_then(|file| file.set_len(size))
            .map_err(|error| Skip(format!("no room for an image: {error}")))?;
        // No blocks for the superuser: the tests may run as such.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        Self::mount(dir, Command::new("mount").args(["-o", "loop"]).arg(&image))
    }

    /// A tmpfs of this many bytes and inodes.
    pub(crate) fn tmpfs(size: u64, inodes: u64) -> Result<Self, Skip> {
        let options = format!("size={size},nr_inodes={inodes}");
        Self::mount(
            Self::mount_point()?,
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that may still be written.
    pub(crate) fn available(&self) -> u64 {
        let figures = rustix::fs::statvfs(&self.path).expect("the volume is mounted");
        figures.f_bavail * figures.f_frsize
    }

    /// Writes a file of zeros until nothing fits any more, and returns its path.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path.join("ballast");
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .expect("room for a file");
        for chunk in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; chunk];
            while io::Write::write_all(&mut &file, &zeros).is_ok() {}
        }
        path
    }

    pub(crate) fn remount_read_only(&self) {
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path)).expect("remounted");
    }

    /// Takes it away under whoever uses it.
    pub(crate) fn unmount(&mut self) {
        if self.mounted {
            unmount(&self.path).expect("unmounted");
            self.mounted = false;
        }
    }

    fn mount_point() -> Result<TempDir, Skip> {
        remove_stale();
        let dir = TempDir::with_prefix(format!("{PREFIX}{}-", process::id()))
            .map_err(|error| Skip(format!("no temporary directory: {error}")))?;
        fs::create_dir(dir.path().join("mount")).map_err(|error| Skip(format!("no mount point: {error}")))?;
        Ok(dir)
    }

    fn mount(dir: TempDir, mount: &mut Command) -> Result<Self, Skip> {
        let path = dir.path().join("mount");
        run(mount.arg(&path))?;
        Ok(Self {
            path,
            mounted: true,
            dir,
        })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            // As `unmount`, but without a panic in a panic.
            if let Err(skip) = unmount(&self.path) {
                eprintln!("{} stays mounted: {}", self.path.display(), skip.0);
            }
        }
    }
}

const PREFIX: &str = "test-volume-";

/// A process that is killed cannot clean up, so the next one does.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists()) {
            // Another process may be doing the same.
            let _ = unmount(&path.join("mount"));
            let _ = fs::remove_dir(path.join("mount"));
            let _ = fs::remove_file(path.join("image"));
            let _ = fs::remove_dir(path);
        }
    }
}

/// Detached at once; the kernel lets go of it with the last open file.
fn unmount(path: &Path) -> Result<(), Skip> {
    run(Command::new("umount").arg("-l").arg(path))
}

fn run(command: &mut Command) -> Result<(), Skip> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Skip(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")
        ))),
        Err(error) => Err(Skip(format!("{program}: {error}"))),
    }
}
