use super::Pressure;
use crate::{
    capacity::Reading,
    probe::{CapacityProbe, ProbeError, cgroup::Groups},
};

/// Any probe, with a resource that counts as full while tasks wait for it too long.
///
/// ```
/// use tower_storage_guard::{DiskProbe, Pressure, PressureProbe, PressureWindow};
///
/// let disk = DiskProbe::new("/srv/uploads");
/// let probe = PressureProbe::new(disk, Pressure::full(PressureWindow::Avg60, 50.0).io());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PressureProbe<P> {
    inner: P,
    pressure: Pressure,
    groups: Groups,
}

impl<P> PressureProbe<P> {
    /// What `inner` measures, with nothing available while the pressure is above its limit.
    pub fn new(inner: P, pressure: Pressure) -> Self {
        Self {
            inner,
            pressure,
            groups: Groups::below("/"),
        }
    }

    /// Reads `proc` and the control groups below this directory instead of `/`, as from a saved tree.
    #[cfg(any(test, feature = "test-util"))]
    pub fn at_root(mut self, root: impl Into<std::path::PathBuf>) -> Self {
        self.groups = Groups::below(root);
        self
    }
}

impl<P: CapacityProbe> CapacityProbe for PressureProbe<P> {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        let reading = self.inner.measure()?;
        Ok(if self.pressure.is_exceeded(&mut self.groups)? {
            Reading {
                available: 0,
                ..reading
            }
        } else {
            reading
        })
    }
}
