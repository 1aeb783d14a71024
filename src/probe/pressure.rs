mod probe;
pub(crate) mod stall;

pub use probe::PressureProbe;
use stall::{Shares, Stalls, stalls};

use super::{ProbeError, cgroup::Groups, files::read_if_there};

/// A share of time lost waiting above which a resource counts as full: pressure stall information of Linux.
///
/// This is a signal beside room, not instead of it: a machine may be slow with much memory free, and out of it without
/// a sign. It is looked for in the process's own control group of version 2, or the nearest one above that has it, and
/// else on the whole machine. A kernel without it has no pressure, which is no error.
///
/// ```
/// use tower_storage_guard::{MemoryProbe, Pressure, PressureWindow};
///
/// // Full while, for 10 s on average, some task waits for memory more than 40 % of the time.
/// let probe = MemoryProbe::new().pressure(Pressure::some(PressureWindow::Avg10, 40.0));
/// ```
///
/// A percentage outside 0 to 100 is an error of the first measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Pressure {
    resource: Stalled,
    tasks: Tasks,
    window: PressureWindow,
    percent: f64,
}

/// Over how long a share of time is taken. Shorter ones would follow every burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PressureWindow {
    /// The last 10 seconds.
    Avg10,
    /// The last minute.
    Avg60,
    /// The last five minutes.
    Avg300,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stalled {
    Memory,
    Io,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tasks {
    Some,
    Full,
}

impl Pressure {
    /// At least one task waits for memory for more than `percent` of the time.
    pub const fn some(window: PressureWindow, percent: f64) -> Self {
        Self {
            resource: Stalled::Memory,
            tasks: Tasks::Some,
            window,
            percent,
        }
    }

    /// All tasks at once wait for memory for more than `percent` of the time: nothing is done meanwhile.
    pub const fn full(window: PressureWindow, percent: f64) -> Self {
        Self {
            tasks: Tasks::Full,
            ..Self::some(window, percent)
        }
    }

    /// Waiting for block devices counts, instead of waiting for memory. Goes with a disk: see [`PressureProbe`].
    pub const fn io(self) -> Self {
        Self {
            resource: Stalled::Io,
            ..self
        }
    }

    pub(super) fn is_exceeded(&self, groups: &mut Groups) -> Result<bool, ProbeError> {
        if !(0.0..=100.0).contains(&self.percent) {
            let value = format!("{} %", self.percent);
            return Err(ProbeError::invalid_setting(
                "pressure",
                &value,
                "give a percentage from 0 to 100",
            ));
        }
        let stalls = self.look(groups)?;
        Ok(stalls.is_some_and(|stalls| self.share(&stalls) > self.percent))
    }

    fn look(&self, groups: &mut Groups) -> Result<Option<Stalls>, ProbeError> {
        if !cfg!(any(target_os = "linux", target_os = "android")) {
            return Ok(None);
        }
        let name = match self.resource {
            Stalled::Memory => "memory",
            Stalled::Io => "io",
        };
        for dir in groups.v2_dirs()? {
            if let Some(stalls) = read_if_there(&dir.join(format!("{name}.pressure")), stalls)? {
                return Ok(Some(stalls));
            }
        }
        read_if_there(&groups.fs_root().join("proc/pressure").join(name), stalls)
    }

    fn share(&self, stalls: &Stalls) -> f64 {
        let Shares { avg10, avg60, avg300 } = match self.tasks {
            Tasks::Some => stalls.some,
            Tasks::Full => stalls.full,
        };
        match self.window {
            PressureWindow::Avg10 => avg10,
            PressureWindow::Avg60 => avg60,
            PressureWindow::Avg300 => avg300,
        }
    }
}
