//! What time it is. Requests never ask: samplers, keepers of leases, the watchdog and reports do.

#[cfg(any(test, feature = "test-util"))]
mod manual;
mod system;

#[cfg(any(test, feature = "test-util"))]
pub use manual::ManualClock;
pub(crate) use system::{Clock, SystemClock};
