//! Refuses what cannot be stored, before the handler runs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)
)]

mod admission;
mod capacity;
mod guard;
mod probe;
mod respond;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use admission::{
    BuildError, BuildErrorKind, Event, FailurePolicy, Fallback, Observer, Resource, ResourceBuilder, ResourceReport,
    StorageFailure,
};
pub use capacity::{
    Charge, Floor, Inodes, ParseSizeError, Reading, Reason, Refusal, SizeModel, State, WriteBuffer, format_size,
    parse_size,
};
pub use guard::{
    BodyError, BodyErrorKind, Guarded, ResponseBody, ResponseFuture, StorageGuard, StorageGuardBuilder,
    StorageGuardLayer,
};
pub use probe::{CapacityProbe, DiskProbe, Measurement, ProbeError, ProbeErrorKind, Publisher, PublisherProbe};
pub use respond::{Class, Classifier, DefaultClassifier, Renderer, RequestHead, RetryAfter};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
