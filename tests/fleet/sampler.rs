//! Counts what is on the disks, all the time.
//!
//! To look at all files takes a while, and a file that goes meanwhile makes room for another, so that one look can see
//! more than there ever was. What two looks in a row have both seen was there in between, all at once.

use std::{collections::HashMap, fs, io, os::unix::fs::MetadataExt, path::Path, time::SystemTime};

use super::host::Host;

/// A file, whatever its name is now. One that is made later can get the number of one that is gone.
type Identity = (u64, u64, Option<SystemTime>);

/// The files that one look has seen, complete and unfinished ones, and their sizes.
pub(super) struct Look(HashMap<Identity, u64>);

impl Look {
    pub(super) fn at(hosts: &[Host]) -> Self {
        let mut look = Self(HashMap::new());
        for host in hosts {
            // A file that gets its name meanwhile is seen twice, but it is one.
            look.add(host.dir());
            look.add(&host.files());
        }
        look
    }

    /// At least so many bytes were there when the look before had ended.
    pub(super) fn since(&self, before: &Self) -> u64 {
        let both = before
            .0
            .iter()
            .filter_map(|(file, size)| Some(*self.0.get(file)?.min(size)));
        both.sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.values().sum()
    }

    fn add(&mut self, dir: &Path) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => panic!("{}: {error}", dir.display()),
        };
        for entry in entries {
            // What is gone meanwhile is gone.
            let Ok(metadata) = entry.and_then(|entry| entry.metadata()) else {
                continue;
            };
            if metadata.is_file() {
                let identity = (metadata.dev(), metadata.ino(), metadata.created().ok());
                let size = self.0.entry(identity).or_default();
                *size = metadata.len();
            }
        }
    }
}

/// All bytes, when nothing changes any more.
pub(super) fn stored(hosts: &[Host]) -> u64 {
    Look::at(hosts).bytes()
}
