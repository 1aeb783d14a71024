//! What one group tells about its memory.

use std::{fs, path::Path};

use super::{
    Version,
    limit::limit,
    stat::{Stat, stat},
};
use crate::probe::{
    ProbeError,
    files::{number, read, read_if_there},
};

/// A group whose memory is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// In bytes.
    pub(crate) limit: u64,
    /// What is in use and could not be given back at once, in bytes. `None` where the group has no figures of its own:
    /// the root of version 2 is the machine.
    pub(crate) working_set: Option<u64>,
}

impl Level {
    /// A limit of all that is visible.
    pub(crate) const fn of_the_machine(limit: u64) -> Self {
        Self {
            limit,
            working_set: None,
        }
    }

    /// Looks at the group in `dir`. `extra` is a limit that its files do not tell of. `None` when it has no limit.
    ///
    /// What is in use is the usage less `inactive_file`, as the kubelet has it: the usage alone counts page cache, which
    /// fills any limit in time and yet gives way to the first who needs memory.
    pub(crate) fn look(version: Version, dir: &Path, extra: Option<u64>) -> Result<Option<Self>, ProbeError> {
        match version {
            Version::V1 => look_at_v1(dir, extra),
            Version::V2 => look_at_v2(dir, extra),
        }
    }
}

/// Documentation/admin-guide/cgroup-v2.rst: past `memory.max` the group is killed, past `memory.high` it is throttled
/// "and put under heavy reclaim pressure", so the lower one is the limit.
fn look_at_v2(dir: &Path, extra: Option<u64>) -> Result<Option<Level>, ProbeError> {
    let max = read_if_there(&dir.join("memory.max"), limit)?;
    if max.is_none() {
        // The root, or no memory controller in this group; but a group that is gone has no files either.
        fs::metadata(dir).map_err(|error| ProbeError::unreadable(dir, error))?;
    }
    let high = read_if_there(&dir.join("memory.high"), limit)?.flatten();
    let own = least([max.flatten(), high, None]);
    let Some(limit) = least([own, extra, None]) else {
        return Ok(None);
    };
    let stat = read_stat(dir)?;
    let usage = dir.join("memory.current");
    let usage = match own {
        Some(_) => Some(read(&usage, number)?),
        None => read_if_there(&usage, number)?,
    };
    Ok(Some(Level {
        limit,
        working_set: usage.map(|usage| working_set(usage, stat)),
    }))
}

/// Documentation/admin-guide/cgroup-v1/memory.rst. Limits that include swap do not matter here: they are never lower.
fn look_at_v1(dir: &Path, extra: Option<u64>) -> Result<Option<Level>, ProbeError> {
    let own = read(&dir.join("memory.limit_in_bytes"), limit)?;
    let stat = read_stat(dir)?;
    let Some(limit) = least([own, extra, stat.and_then(|stat| stat.hierarchical_limit)]) else {
        return Ok(None);
    };
    let usage = read(&dir.join("memory.usage_in_bytes"), number)?;
    Ok(Some(Level {
        limit,
        working_set: Some(working_set(usage, stat)),
    }))
}

/// Read before the usage: cache that grows in between then counts as in use, not as free.
fn read_stat(dir: &Path) -> Result<Option<Stat>, ProbeError> {
    read_if_there(&dir.join("memory.stat"), stat)
}

/// Some sandboxes offer no statistics; then all that is in use counts.
fn working_set(usage: u64, stat: Option<Stat>) -> u64 {
    usage.saturating_sub(stat.map_or(0, |stat| stat.inactive_file))
}

fn least(limits: [Option<u64>; 3]) -> Option<u64> {
    limits.into_iter().flatten().min()
}
