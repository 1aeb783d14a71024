//! The machine: what is measured, how, and when.

mod ballast;
#[cfg(feature = "memory")]
pub(crate) mod cgroup;
mod disk;
mod error;
#[cfg(feature = "memory")]
pub(crate) mod files;
#[cfg(all(fuzzing, feature = "memory"))]
pub mod fuzz;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(feature = "memory")]
pub(crate) mod pressure;
mod publisher;
mod sampler;

pub use ballast::{Ballast, BallastError, BallastErrorKind};
pub use disk::DiskProbe;
pub use error::{ProbeError, ProbeErrorKind};
#[cfg(feature = "memory")]
pub use memory::MemoryProbe;
#[cfg(feature = "memory")]
pub use pressure::{Pressure, PressureProbe, PressureWindow};
pub use publisher::{Measurement, Publisher, PublisherProbe};
#[cfg(any(test, feature = "test-util"))]
pub(crate) use sampler::sample;
pub(crate) use sampler::{Sampler, Signal, Sink};

use crate::{BoxError, capacity::Reading};

/// Measures one resource.
///
/// A probe runs on a thread of its own, one measurement at a time, so it may block; one that hangs holds up no request,
/// and one that panics is reported like one that fails. Any `FnMut() -> Result<Reading, E>` is a probe:
///
/// ```
/// use tower_storage_guard::{CapacityProbe, Reading};
///
/// fn database_size() -> std::io::Result<u64> {
///     Ok(3 << 30)
/// }
///
/// const LIMIT: u64 = 10 << 30;
/// let mut probe = || database_size().map(|used| Reading::new(LIMIT, LIMIT.saturating_sub(used)));
/// assert_eq!(probe.measure().unwrap().available, 7 << 30);
/// ```
pub trait CapacityProbe: Send {
    /// Measures now.
    ///
    /// # Errors
    ///
    /// When nothing is known about the resource. The resource's [`FailurePolicy`](crate::FailurePolicy) then decides
    /// about requests; an error is never taken for "full".
    fn measure(&mut self) -> Result<Reading, ProbeError>;
}

impl<F, E> CapacityProbe for F
where
    F: FnMut() -> Result<Reading, E> + Send,
    E: Into<BoxError>,
{
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        self().map_err(ProbeError::custom)
    }
}
