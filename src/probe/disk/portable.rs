//! Any system that the crate `fs4` knows.

use std::{io, path::Path};

use super::{Volume, nonsense};
use crate::capacity::Reading;

pub(super) fn look_at(path: &Path) -> io::Result<Volume> {
    let stats = fs4::statvfs(path)?;
    if stats.total_space() == 0 {
        return Err(nonsense("no size"));
    }
    // `free` counts the part reserved for the superuser, `available` does not.
    let reserved = stats.free_space().saturating_sub(stats.available_space());
    let total = stats.total_space().saturating_sub(reserved);
    let block_size = u32::try_from(stats.allocation_granularity()).unwrap_or(1);
    Ok(Volume {
        reading: Reading::new(total, stats.available_space()).with_block_size(block_size),
        identity: None,
        is_mount_root: None,
    })
}
