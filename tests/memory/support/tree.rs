use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tower_storage_guard::{CapacityProbe, MemoryProbe, ProbeError};

/// A copy of a saved tree, to be changed at will.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn of(name: &str) -> Self {
        let saved = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/cgroup")
            .join(name);
        let dir = tempfile::tempdir().expect("a directory");
        copy(&saved, dir.path());
        Self(dir)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn probe(&self) -> MemoryProbe {
        MemoryProbe::new().at_root(self.root())
    }

    /// Total and available.
    pub(crate) fn measure(&self) -> Result<(u64, u64), ProbeError> {
        figures(&mut self.probe())
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.root().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
    }

    /// Makes it impossible to read, also for the superuser.
    pub(crate) fn make_unreadable(&self, path: &str) {
        self.remove(path);
        fs::create_dir(self.root().join(path)).expect("made");
    }

    /// Every file, relative to the root.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.root(), &mut |file| {
            let relative = file.strip_prefix(self.root()).expect("below the root");
            found.push(relative.to_str().expect("UTF-8").to_owned());
        });
        found.sort();
        found
    }
}

pub(crate) fn figures(probe: &mut MemoryProbe) -> Result<(u64, u64), ProbeError> {
    probe.measure().map(|reading| (reading.total, reading.available))
}

fn copy(from: &Path, to: &Path) {
    walk(from, &mut |file| {
        let target: PathBuf = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("below")).expect("made");
        fs::copy(file, target).expect("copied");
    });
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}
