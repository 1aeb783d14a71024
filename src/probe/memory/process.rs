//! The memory of this process alone.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::resident;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use portable::resident;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::path::Path;

    use crate::probe::{ProbeError, files::read, memory::statm::resident_pages};

    /// The resident set in bytes.
    pub(in crate::probe::memory) fn resident(fs_root: &Path) -> Result<u64, ProbeError> {
        let pages = read(&fs_root.join("proc/self/statm"), resident_pages)?;
        Ok(pages.saturating_mul(rustix::param::page_size() as u64))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use std::path::Path;

    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

    use crate::probe::ProbeError;

    /// The resident set in bytes.
    pub(in crate::probe::memory) fn resident(_fs_root: &Path) -> Result<u64, ProbeError> {
        let pid = sysinfo::get_current_pid().map_err(ProbeError::untold)?;
        let mut system = System::new();
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            false,
            ProcessRefreshKind::nothing().with_memory(),
        );
        match system.process(pid) {
            Some(process) => Ok(process.memory()),
            None => Err(ProbeError::untold("nothing is known of this process")),
        }
    }
}
