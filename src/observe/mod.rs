//! Seeing how things stand: figures, events, pages. Beside the house: may import every floor, and none imports it.

#[cfg(any(feature = "metrics", feature = "status"))]
mod figures;
mod health;
mod history;
#[cfg(feature = "tracing")]
mod log;
mod monitor;
#[cfg(feature = "metrics")]
mod publish;
mod readiness;
mod snapshot;
#[cfg(feature = "status")]
mod status;
mod tenants;

pub use health::HealthService;
#[cfg(feature = "tracing")]
pub use log::TracingObserver;
pub use monitor::{Monitor, MonitorBuilder};
pub use readiness::{Readiness, ReadinessHandle};
pub use snapshot::Snapshot;
#[cfg(feature = "status")]
pub use status::StatusService;
pub use tenants::{LedgerFigures, TenantFigures, TenantRow};
