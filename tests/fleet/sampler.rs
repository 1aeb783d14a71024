//! Counts what is on the disks, all the time.

use std::{collections::HashMap, fs, io, os::unix::fs::MetadataExt, path::Path};

use super::host::Host;

/// All bytes of complete and of unfinished files.
pub(super) fn stored(hosts: &[Host]) -> u64 {
    hosts.iter().map(on_disk).sum()
}

fn on_disk(host: &Host) -> u64 {
    // A file that gets its name meanwhile is seen twice, but it is one.
    let mut sizes = HashMap::new();
    look(host.dir(), &mut sizes);
    look(&host.files(), &mut sizes);
    sizes.values().sum()
}

fn look(dir: &Path, sizes: &mut HashMap<u64, u64>) {
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
            let size = sizes.entry(metadata.ino()).or_default();
            *size = (*size).max(metadata.len());
        }
    }
}
