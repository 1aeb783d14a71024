//! HTTP's words: what a request wants to store, and how it is told that it cannot.

mod classify;
mod decimal;
mod format;
mod length;
mod protocol;
mod refusal_writer;
mod render;
mod retry_after;
mod status;
mod tenant_key;

pub(crate) use classify::class_of;
pub use classify::{Class, Classifier, DefaultClassifier};
#[cfg(feature = "status")]
pub(crate) use format::Format;
pub(crate) use length::{Estimate, LengthHints, estimate};
pub(crate) use protocol::Dialect;
#[cfg(feature = "grpc-details")]
pub use protocol::GrpcWithDetails;
pub use protocol::Protocol;
pub(crate) use refusal_writer::{LateContext, RefusalWriter};
pub(crate) use render::HeadRef;
pub use render::{RenderContext, Renderer};
pub use retry_after::RetryAfter;
pub use status::TemporaryStatus;
pub(crate) use tenant_key::Key;
pub use tenant_key::{MissingTenant, TenantFrom, TenantKey};
