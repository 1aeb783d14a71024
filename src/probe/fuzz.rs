//! The parsers of the kernel's files, for the targets in `fuzz/`. Each gives `None` for a text it makes no sense of.

use super::{cgroup, memory, pressure};

/// `memory.max` and its like: `Some(None)` means no limit.
pub fn limit(text: &[u8]) -> Option<Option<u64>> {
    cgroup::limit::limit(text).ok()
}

/// `memory.stat`: the inactive page cache, and the limit from above.
pub fn stat(text: &[u8]) -> Option<(u64, Option<u64>)> {
    let stat = cgroup::stat::stat(text).ok()?;
    Some((stat.inactive_file, stat.hierarchical_limit))
}

/// `/proc/self/cgroup`: the paths in version 1 and in version 2.
pub fn membership(text: &[u8]) -> Option<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    let membership = cgroup::membership::membership(text).ok()?;
    Some((membership.memory_v1, membership.v2))
}

/// `/proc/self/mountinfo`: root and mount point of each hierarchy.
pub fn mounts(text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mounts = cgroup::mounts::mounts(text).ok()?;
    Some(mounts.into_iter().map(|mount| (mount.root, mount.point)).collect())
}

/// `/proc/pressure/memory`: the three averages of `some`, then those of `full`.
pub fn stalls(text: &[u8]) -> Option<[f64; 6]> {
    let pressure::stall::Stalls { some, full } = pressure::stall::stalls(text).ok()?;
    Some([some.avg10, some.avg60, some.avg300, full.avg10, full.avg60, full.avg300])
}

/// `/proc/self/statm`: the resident set in pages.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn resident_pages(text: &[u8]) -> Option<u64> {
    memory::statm::resident_pages(text).ok()
}
