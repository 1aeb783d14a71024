//! The decision: resources, what is held of them, and what happens when nobody knows.

mod admit;
mod hold;
mod limits;
mod live;
mod policy;
mod resource;
mod resource_builder;
mod resource_settings;
mod scope;
mod storage_failure;
mod stored;
mod tally;
mod tenants;

pub(crate) use admit::{Admission, Verdict, Waits};
pub(crate) use hold::{BodyHold, Hold, ResponseHold};
#[cfg(storage_guard_loom)]
pub(crate) mod models {
    pub(crate) use super::{hold::models::*, limits::models::*};
}
pub(crate) use limits::{Limits, LiveLimits};
pub use live::{LayerSettings, LiveSettings, Settings};
pub use policy::{FailurePolicy, Fallback};
pub use resource::{Resource, ResourceReport};
pub use resource_builder::ResourceBuilder;
pub use resource_settings::ResourceSettings;
pub(crate) use scope::{MAX_SCOPES, Scope};
pub use storage_failure::StorageFailure;
pub use stored::Stored;
pub use tally::RefusalCounts;
pub(crate) use tenants::{MAX_TENANTS, TenantNames};
