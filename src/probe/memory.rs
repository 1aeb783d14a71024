mod machine;
mod process;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod statm;

use machine::Machine;

use super::{CapacityProbe, Pressure, ProbeError, cgroup::Groups};
use crate::capacity::Reading;

/// Measures memory: of the machine and, on Linux, of every control group that limits this process, whichever has the
/// least left.
///
/// On Linux each group from the own one up to the outermost that can be seen counts, of either version, with its limit
/// (the lower one of `memory.max` and `memory.high`) less its working set (the usage without `inactive_file`, page
/// cache that gives way at once). So a reading is what the process can really allocate before something is killed or
/// throttled: writing files does not use it up. Where there are no groups, and on other systems, the machine's figures
/// are the reading. Swap counts for nothing.
///
/// The total is the least limit: what is larger never fits. A limit above what a container can see is in none of its
/// files (except in version 1); tell it with [`limit`](Self::limit).
///
/// # For handlers that collect bodies
///
/// ```
/// use tower_storage_guard::{Floor, MemoryProbe, Resource, SizeModel, StorageGuardLayer, WriteBuffer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// let memory = Resource::builder("memory", MemoryProbe::new()).floor(Floor::bytes(24 << 20)).build()?;
/// let layer = StorageGuardLayer::builder()
///     .resource(memory)
///     .write_buffer(WriteBuffer::Whole)
///     .size_model(SizeModel::default().factor(2.0))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// A body takes more memory than it has bytes: 1.5 times as much was measured for 160 bodies of 1 MiB at once in axum's
/// `Bytes`, which puts the frames together in a second buffer. The floor must hold what the account does not know of,
/// above all the buffers of connections: one that is refused and kept for a moment took up to 0.5 MiB, so a small server
/// keeps [few of them](crate::Linger::connections).
///
/// # Errors
///
/// A measurement fails when a file cannot be read or understood (the error names it), or when the process's group
/// cannot be found below what is mounted. It never guesses: a limit that cannot be read is not "no limit".
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryProbe {
    source: Source,
    machine: Machine,
    limit: Option<u64>,
    pressures: Vec<Pressure>,
    groups: Groups,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Machine,
    Process { budget: u64 },
}

impl MemoryProbe {
    /// The machine and the groups of this process. Nothing is looked at yet.
    pub fn new() -> Self {
        Self::of(Source::Machine)
    }

    /// This process alone: `budget` bytes less its resident set, which includes the files it has mapped. Neither the
    /// machine nor groups are looked at; give the layer a second resource for them.
    pub fn process(budget: u64) -> Self {
        Self::of(Source::Process { budget })
    }

    /// Sets a limit in bytes that cannot be seen from here, such as that of a pod around the container. It counts against
    /// what all use in the outermost group that can be seen, or on the machine where there is none. A lower limit that
    /// can be seen still counts.
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Takes memory as used up while tasks wait for it too long. May be set more than once; any of them counts.
    ///
    /// This is a second signal for machines that slow down before they run out. It tells nothing about room: requests
    /// are refused until the average falls again, however little they want.
    pub fn pressure(mut self, pressure: Pressure) -> Self {
        self.pressures.push(pressure);
        self
    }

    /// Reads `proc` and the control groups below this directory instead of `/`, as from a saved tree. The machine's own
    /// figures remain those of the machine.
    #[cfg(any(test, feature = "test-util"))]
    pub fn at_root(mut self, root: impl Into<std::path::PathBuf>) -> Self {
        self.groups = Groups::below(root);
        self
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            machine: Machine::default(),
            limit: None,
            pressures: Vec::new(),
            groups: Groups::below("/"),
        }
    }

    fn check(&self) -> Result<(), ProbeError> {
        const REMEDY: &str = "give an amount above zero";
        if self.limit == Some(0) {
            return Err(ProbeError::invalid_setting("limit", "0", REMEDY));
        }
        if matches!(self.source, Source::Process { budget: 0 }) {
            return Err(ProbeError::invalid_setting("budget", "0", REMEDY));
        }
        Ok(())
    }

    fn look_at_all(&mut self) -> Result<Reading, ProbeError> {
        let machine = self.machine.look()?;
        let (mut total, mut available) = (machine.total, machine.available);
        for level in self.groups.memory_levels(self.limit)? {
            total = total.min(level.limit);
            let in_use = level.working_set.unwrap_or(machine.used());
            available = available.min(level.limit.saturating_sub(in_use));
        }
        Ok(Reading::new(total, available))
    }

    fn look_at_process(&self, budget: u64) -> Result<Reading, ProbeError> {
        let budget = self.limit.map_or(budget, |limit| limit.min(budget));
        let resident = process::resident(self.groups.fs_root())?;
        Ok(Reading::new(budget, budget.saturating_sub(resident)))
    }
}

impl CapacityProbe for MemoryProbe {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        self.check()?;
        let reading = match self.source {
            Source::Machine => self.look_at_all()?,
            Source::Process { budget } => self.look_at_process(budget)?,
        };
        for pressure in &self.pressures {
            if pressure.is_exceeded(&mut self.groups)? {
                return Ok(Reading {
                    available: 0,
                    ..reading
                });
            }
        }
        Ok(reading)
    }
}

impl Default for MemoryProbe {
    /// The machine and the groups of this process.
    fn default() -> Self {
        Self::new()
    }
}
