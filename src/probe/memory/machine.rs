//! The memory of the whole machine.

use std::fmt;

use sysinfo::{MemoryRefreshKind, System};

use crate::probe::ProbeError;

/// Measures it.
#[derive(Default)]
pub(super) struct Machine {
    /// Kept, because making it reads `/proc/stat`, which takes milliseconds on large machines.
    system: Option<System>,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) total: u64,
    /// What programs can get without swapping.
    pub(super) available: u64,
}

impl Machine {
    pub(super) fn look(&mut self) -> Result<Figures, ProbeError> {
        // A refresh that cannot read keeps the old figures and says nothing; whoever asks for groups next will be told.
        let system = self.system.get_or_insert_with(System::new);
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        match system.total_memory() {
            0 => Err(ProbeError::untold("the system does not tell how much memory it has")),
            total => Ok(Figures {
                total,
                available: system.available_memory().min(total),
            }),
        }
    }
}

impl Figures {
    pub(super) fn used(self) -> u64 {
        self.total - self.available
    }
}

impl Clone for Machine {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}
