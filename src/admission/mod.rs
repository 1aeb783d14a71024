//! The decision: what a request claims, whether it is admitted, and what it reserves.

mod admit;
mod counters;
mod limits;
mod live_settings;
mod pending;
mod reservation;
mod rules;
mod scope;
mod storage_failure;
mod stored;
mod tenant_charges;

pub(crate) use admit::{Admission, Admitted, Decision};
pub use counters::RefusalCounts;
pub(crate) use limits::{Limits, LiveLimits};
pub use live_settings::{LayerSettings, LiveSettings, Settings};
pub(crate) use pending::PendingAdmission;
pub use reservation::Reservation;
#[cfg(storage_guard_loom)]
pub(crate) use reservation::models;
pub(crate) use reservation::{BodyReservation, Growth, LayerContext, ParkedBody, ResponseReservation, Shortage};
pub(crate) use scope::MAX_SCOPES;
pub use storage_failure::StorageFailure;
pub use stored::Stored;
pub(crate) use tenant_charges::{MAX_TENANTS, TenantNames};
