//! The decision: what a request claims, whether it is admitted, and what it reserves.

mod admit;
mod counters;
mod hold;
mod limits;
mod live_settings;
mod scope;
mod storage_failure;
mod stored;
mod tenants;

pub(crate) use admit::{Admission, Verdict, Waits};
pub(crate) use hold::{BodyHold, Hold, ResponseHold};
#[cfg(storage_guard_loom)]
pub(crate) mod models {
    pub(crate) use super::{hold::models::*, limits::models::*};
}
pub use counters::RefusalCounts;
pub(crate) use limits::{Limits, LiveLimits};
pub use live_settings::{LayerSettings, LiveSettings, Settings};
pub(crate) use scope::{MAX_SCOPES, Scope};
pub use storage_failure::StorageFailure;
pub use stored::Stored;
pub(crate) use tenants::{MAX_TENANTS, TenantNames};
