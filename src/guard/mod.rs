//! Tower: the layer, the service, and the bodies and future they wrap.

mod body_error;
mod builder;
mod future;
mod layer;
mod linger;
mod pending;
mod refused;
mod report;
mod request_body;
mod response_body;
mod response_context;
mod service;
mod shared;
mod stored_body;

pub use body_error::{BodyError, BodyErrorKind};
pub use builder::StorageGuardBuilder;
pub use future::ResponseFuture;
pub use layer::StorageGuardLayer;
pub use linger::Linger;
pub use report::LayerReport;
pub use request_body::Guarded;
pub use response_body::ResponseBody;
pub use service::StorageGuard;
