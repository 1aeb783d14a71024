//! The memory of the whole machine.

use sysinfo::{MemoryRefreshKind, System};

use crate::probe::ProbeError;

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub(super) total: u64,
    /// What programs can get without swapping.
    pub(super) available: u64,
}

impl Machine {
    pub(super) fn look() -> Result<Self, ProbeError> {
        // Made anew each time: a refresh that fails leaves the old figures in place, and only zeros show it.
        let mut system = System::new();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        match system.total_memory() {
            0 => Err(ProbeError::untold("the system does not tell how much memory it has")),
            total => Ok(Self {
                total,
                available: system.available_memory().min(total),
            }),
        }
    }

    pub(super) fn used(self) -> u64 {
        self.total - self.available
    }
}
