//! Where the tests take place.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    curl::{Answer, Curl},
    server::Server,
    volume::{Skip, Volume},
};

pub(super) const MIB: usize = 1 << 20;

/// What a browser adds to a request of another site's page.
pub(super) const FROM_A_PAGE: [&str; 2] = ["-H", "Origin: http://shop.example"];

/// A server, the directory that it serves, and the disk below that.
pub(super) struct Site {
    pub(super) server: Server,
    /// What the server serves.
    pub(super) dir: PathBuf,
    /// For the files to upload; on another disk.
    pub(super) desk: TempDir,
    disk: Option<Volume>,
}

impl Site {
    /// On whatever disk holds the temporary directory. `None` if there is no curl.
    pub(super) fn anywhere(options: &[&str]) -> Option<Self> {
        Self::new(None, options)
    }

    /// On a disk of its own with 64 MiB, of which some 49 MiB may be filled. `None` where that cannot be made.
    pub(super) fn on_small_disk(options: &[&str]) -> Option<Self> {
        let disk = small_disk()?;
        Self::new(Some(disk), &[&["--min-free", "4MiB"], options].concat())
    }

    pub(super) fn new(disk: Option<Volume>, options: &[&str]) -> Option<Self> {
        if !Curl::is_installed() {
            println!("skipped: curl is not installed");
            return None;
        }
        let desk = TempDir::new().expect("a directory");
        let dir = disk.as_ref().map_or(desk.path(), Volume::path).join("uploads");
        Some(Self {
            server: Server::start(&dir, options),
            dir,
            desk,
            disk,
        })
    }

    pub(super) fn file(&self, name: &str, size: usize) -> PathBuf {
        content(self.desk.path(), name, size)
    }

    pub(super) fn curl(&self, path: &str) -> Curl {
        Curl::new(&self.server, path)
    }

    pub(super) fn put(&self, path: &str, file: &Path) -> Answer {
        self.curl(path).file(file).send()
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.curl(path).send()
    }

    pub(super) fn delete(&self, path: &str) -> Answer {
        self.curl(path).args(&["-X", "DELETE"]).send()
    }

    pub(super) fn disk(&self) -> &Volume {
        self.disk.as_ref().expect("it is on a disk of its own")
    }

    pub(super) fn is_soon_empty(&self) {
        eventually("the directory is empty", || names(&self.dir).is_empty());
    }
}

pub(super) fn small_disk() -> Option<Volume> {
    made(Volume::ext4(64 << 20))
}

pub(super) fn made(disk: Result<Volume, Skip>) -> Option<Volume> {
    disk.map_err(|skip| println!("{skip}")).ok()
}

/// Longer than anything takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that happens by itself.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(PATIENCE, what, &mut holds);
}

/// Waits for something that is promised to happen in this time.
pub(super) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    let mut looks = 0;
    while !holds() {
        looks += 1;
        // On a busy machine a second may pass between two looks.
        assert!(Instant::now() < deadline || looks < 10, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The names in a directory, in order.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A file in `dir` with this many bytes that do not repeat.
pub(super) fn content(dir: &Path, name: &str, size: usize) -> PathBuf {
    let mut state = size as u64 | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    let path = dir.join(name);
    fs::write(&path, bytes).expect("written");
    path
}
