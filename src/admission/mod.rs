//! The decision: resources, what is held of them, and what happens when nobody knows.

mod admit;
mod hold;
mod limits;
mod policy;
mod resource;
mod resource_builder;
mod scope;
mod storage_failure;
mod stored;
mod tenants;

pub(crate) use admit::{Admission, Verdict, Waits};
pub(crate) use hold::{BodyHold, Hold, ResponseHold};
pub(crate) use limits::Limits;
pub use policy::{FailurePolicy, Fallback};
pub use resource::{Resource, ResourceReport};
pub use resource_builder::ResourceBuilder;
pub(crate) use scope::{MAX_SCOPES, Scope};
pub use storage_failure::StorageFailure;
pub use stored::Stored;
pub(crate) use tenants::{MAX_TENANTS, TenantNames};
