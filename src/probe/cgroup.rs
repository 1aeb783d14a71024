//! Control groups of Linux, of both versions: where the groups of this process are, and what they tell.

mod level;
pub(crate) mod limit;
pub(crate) mod membership;
pub(crate) mod mounts;
mod place;
pub(crate) mod stat;

use std::path::{Path, PathBuf};

pub(super) use level::Level;
use membership::{Membership, membership};
use mounts::mounts;
use place::Place;

use super::{
    ProbeError,
    files::{number, read, read_if_there},
};

/// The two versions differ in the names of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// The groups of this process. They are looked up again when the process was moved or something failed.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    /// `/` but in tests.
    fs_root: PathBuf,
    known: Option<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    membership: Membership,
    /// The one hierarchy that has the memory controller.
    memory: Result<Option<Place>, place::Hidden>,
    v2: Option<Place>,
}

impl Groups {
    pub(super) fn below(fs_root: impl Into<PathBuf>) -> Self {
        Self {
            fs_root: fs_root.into(),
            known: None,
        }
    }

    pub(super) fn fs_root(&self) -> &Path {
        &self.fs_root
    }

    /// Every group from the own one up to the outermost visible one that limits memory. `extra` is a limit of the
    /// outermost one that its files do not tell of; where no group is visible that is the machine.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or understood, or the own group lies outside of what is mounted.
    pub(super) fn memory_levels(&mut self, extra: Option<u64>) -> Result<Vec<Level>, ProbeError> {
        let levels = self.look_at_memory(extra);
        if levels.is_err() {
            self.known = None;
        }
        levels
    }

    fn look_at_memory(&mut self, extra: Option<u64>) -> Result<Vec<Level>, ProbeError> {
        let mounts = self.fs_root.join(MOUNTS);
        let place = match &self.locate()?.memory {
            Ok(Some(place)) => place,
            Ok(None) => return Ok(extra.map(Level::of_the_machine).into_iter().collect()),
            Err(place::Hidden) => return Err(ProbeError::hidden_group(&mounts)),
        };
        let mut levels = Vec::new();
        let mut dirs = place.levels.iter().peekable();
        while let Some(dir) = dirs.next() {
            let is_outermost = match dirs.peek() {
                Some(above) => place.version == Version::V1 && !includes_groups_below(above)?,
                None => true,
            };
            levels.extend(Level::look(place.version, dir, extra.filter(|_| is_outermost))?);
            if is_outermost {
                break;
            }
        }
        Ok(levels)
    }

    /// The directories of the own group of version 2 and those above, the own one first.
    pub(super) fn v2_dirs(&mut self) -> Result<&[PathBuf], ProbeError> {
        let known = self.locate()?;
        Ok(known.v2.as_ref().map_or(&[], |place| &place.levels))
    }

    fn locate(&mut self) -> Result<&Known, ProbeError> {
        let membership = if EXIST {
            // A kernel built without them has no such file.
            read_if_there(&self.fs_root.join(MEMBERSHIP), membership)?.unwrap_or_default()
        } else {
            Membership::default()
        };
        let known = match self.known.take().filter(|known| known.membership == membership) {
            Some(known) => known,
            None => find(&self.fs_root, membership)?,
        };
        Ok(self.known.insert(known))
    }
}

/// Elsewhere `/proc` may be anybody's.
const EXIST: bool = cfg!(any(target_os = "linux", target_os = "android"));
const MEMBERSHIP: &str = "proc/self/cgroup";
const MOUNTS: &str = "proc/self/mountinfo";

fn find(fs_root: &Path, membership: Membership) -> Result<Known, ProbeError> {
    let mounts = if membership == Membership::default() {
        Vec::new()
    } else {
        read(&fs_root.join(MOUNTS), mounts)?
    };
    let place = |version, group: &Option<Vec<u8>>| match group {
        Some(group) => Place::find(version, group, &mounts, fs_root),
        None => Ok(None),
    };
    let v2 = place(Version::V2, &membership.v2);
    Ok(Known {
        // A controller lives in one hierarchy only.
        memory: match &membership.memory_v1 {
            Some(_) => place(Version::V1, &membership.memory_v1),
            None => v2.clone(),
        },
        v2: v2.unwrap_or(None),
        membership,
    })
}

/// Whether a group of version 1 counts and limits what the groups below it use
/// (Documentation/admin-guide/cgroup-v1/memory.rst, section 6). Since Linux 5.11 all do.
fn includes_groups_below(dir: &Path) -> Result<bool, ProbeError> {
    let hierarchical = read_if_there(&dir.join("memory.use_hierarchy"), number)?;
    Ok(hierarchical != Some(0))
}
