//! Refuses what cannot be stored, before the handler runs.
//!
//! A server that accepts data should not find out that its disk is full by failing half-way through a write. A
//! [`StorageGuardLayer`] wraps any Tower HTTP service, reserves what each request wants to store, and answers
//! **507 Insufficient Storage** (does not fit *now*) or **413 Content Too Large** (could *never* fit) before the service
//! runs.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_storage_guard::{Floor, Guarded, Reason, Refusal, Resource, StorageGuardLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let directory = std::env::temp_dir();
//! // 64 MiB of the disk that holds the directory stay free; no body is larger than 1 MiB.
//! let disk = Resource::disk(directory).floor(Floor::bytes(64 << 20)).build()?;
//! let guard = StorageGuardLayer::builder().resource(disk).max_body(1 << 20).build()?;
//!
//! let service = ServiceBuilder::new().layer(guard).service_fn(|request: Request<Guarded<Full<Bytes>>>| async {
//!     let content = request.into_body().collect().await?.to_bytes();
//!     // … write it …
//!     Ok::<_, BoxError>(Response::new(Full::new(content)))
//! });
//!
//! let small = Request::put("/").body(Full::from("a little"))?;
//! assert_eq!(service.clone().oneshot(small).await?.status(), StatusCode::OK);
//!
//! let large = Request::put("/").body(Full::from(vec![0; 2 << 20]))?;
//! let answer = service.oneshot(large).await?;
//! assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! assert_eq!(answer.extensions().get::<Refusal>().unwrap().reason(), Reason::TooLarge);
//! # Ok(())
//! # }
//! ```
//!
//! # How it counts
//!
//! A [`Resource`] is something that requests write to, measured by a [`CapacityProbe`] on a thread of its own. Its
//! *headroom* is what was free at the last measurement, less the [`Floor`] that must stay free, less everything that is
//! held: by requests under way, and by finished ones whose bytes no measurement has had a chance to see. So a byte counts
//! exactly once, first as held and then as seen, and what is admitted fits as long as others write less than the floor
//! between the measurement that it was admitted by and its last byte.
//!
//! A hold ends when the response future is done or dropped *and* the request body is gone. For large bodies it closes
//! piece by piece before that; [`WriteBuffer`] tells what that asks of the service.
//!
//! # What is looked at
//!
//! | request | what it counts |
//! |---|---|
//! | `GET`, `HEAD`, `OPTIONS`, `DELETE`, `MOVE`, … ([`DefaultClassifier`]) | nothing, never refused |
//! | of known length | its length, by the [`SizeModel`] |
//! | of unknown length | what comes, before it is handed on; the body breaks off when it does not fit |
//! | without a body of its own (`MKCOL`, `COPY`, an empty `POST`) | [a minimum](StorageGuardBuilder::minimum_charge) and a block |
//!
//! # Answers
//!
//! A refused client gets `application/problem+json`, a small HTML page or plain text, by `Accept`, or what a [`Renderer`]
//! writes. Answers never tell free bytes, paths or names. The [`Refusal`] is in the extensions of every such response. The
//! guard never returns an error of its own, so axum needs no error handler for it.
//!
//! # Tenants
//!
//! A [`Ledger`] keeps what each tenant has stored and reserved, in memory, in a file or in an engine that many nodes share, and
//! a layer [charges it](StorageGuardBuilder::tenant). Handlers may say exactly what they [`Stored`].
//!
//! # When nobody knows
//!
//! A probe that fails, panics or is silent is not a full disk; its [`FailurePolicy`] decides. A hung mount holds up no
//! request, because requests read atomics only.
//!
//! # More
//!
//! The repository has a [guide] from nothing to production, a [cookbook], the [places where the layer can go], what
//! [operators] need, what is promised to [tenants], a [comparison] with what else there is, and how to come [from a limit
//! on bodies].
//!
//! [guide]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/guide.md
//! [cookbook]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/cookbook.md
//! [places where the layer can go]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/integration.md
//! [operators]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/operations.md
//! [tenants]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/tenants.md
//! [comparison]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/comparison.md
//! [from a limit on bodies]: https://github.com/tower-storage-guard/tower-storage-guard/blob/main/docs/migration.md
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    test,
    allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)
)]

mod admission;
mod background;
mod capacity;
mod clock;
#[cfg(feature = "serde")]
mod config;
mod guard;
mod observe;
mod probe;
mod resource;
mod respond;
mod sync;
mod tenant;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use admission::{LayerSettings, LiveSettings, RefusalCounts, Reservation, Settings, StorageFailure, Stored};
pub use capacity::{
    BuildError, BuildErrorKind, Charge, Event, Floor, Inodes, Observer, ParseSizeError, Reading, Reason, Refusal,
    SizeModel, State, WriteBuffer, format_size, parse_size,
};
#[cfg(feature = "serde")]
pub use config::{Config, ConfigError};
pub use guard::{
    BodyError, BodyErrorKind, Guarded, LayerReport, Linger, ResponseBody, ResponseFuture, StorageGuard,
    StorageGuardBuilder, StorageGuardLayer,
};
#[cfg(feature = "status")]
pub use observe::StatusService;
#[cfg(feature = "tracing")]
pub use observe::TracingObserver;
pub use observe::{
    HealthService, LedgerFigures, Monitor, MonitorBuilder, Readiness, ReadinessHandle, Snapshot, TenantFigures,
    TenantRow,
};
pub use probe::{
    Ballast, BallastError, BallastErrorKind, CapacityProbe, DiskProbe, Measurement, ProbeError, ProbeErrorKind,
    Publisher, PublisherProbe,
};
#[cfg(feature = "memory")]
pub use probe::{MemoryProbe, Pressure, PressureProbe, PressureWindow};
pub use resource::{FailurePolicy, Fallback, Resource, ResourceBuilder, ResourceReport, ResourceSettings};
#[cfg(feature = "grpc-details")]
pub use respond::GrpcWithDetails;
pub use respond::{
    Class, Classifier, DefaultClassifier, MissingTenant, Protocol, RenderContext, Renderer, RetryAfter,
    TemporaryStatus, TenantFrom, TenantKey,
};

/// The models of `models/`.
#[cfg(storage_guard_loom)]
#[doc(hidden)]
pub mod __models {
    macro_rules! models {
        ($($module:path: $($name:ident)*;)*) => {
            $($(pub fn $name() { use $module as module; module::$name(); })*)*
        };
    }
    models! {
        crate::capacity::models: what_fits_an_account_fits_the_disk closed_bytes_return_once;
        crate::admission::models: a_reservation_ends_once_whoever_goes_last a_reservation_ends_once_with_three_holders
            what_never_came_is_refunded_once a_failure_closes_the_resource_at_once
            tenants_get_back_what_was_not_stored
            a_parked_body_goes_with_its_response a_kept_slot_is_whole_for_its_next_request;
        crate::tenant::models: granted_bytes_are_fetched_or_given_back whoever_waits_is_woken
            what_is_given_back_is_not_spent debts_come_before_grants a_grant_is_never_open_to_others
            the_last_reference_removes_an_unused_tenant a_charged_tenant_is_not_removed
            a_referenced_tenant_is_not_removed a_tenant_given_back_whole_is_not_removed;
    }
}

// Parsers that nobody outside can call otherwise, for the targets in `fuzz/`.
#[cfg(all(fuzzing, feature = "memory"))]
#[doc(hidden)]
pub use probe::fuzz as __fuzz;
#[cfg(all(fuzzing, feature = "redb"))]
#[doc(hidden)]
pub use tenant::file_fuzz as __fuzz_file;
#[cfg(all(fuzzing, feature = "limits-file"))]
#[doc(hidden)]
pub use tenant::limits_fuzz as __fuzz_limits;
#[cfg(all(fuzzing, feature = "redis"))]
#[doc(hidden)]
pub use tenant::redis_fuzz as __fuzz_redis;

#[cfg(feature = "redb")]
pub use tenant::FileStore;
pub use tenant::{
    Denied, DeniedKind, Grant, LeaseStore, Leasing, Ledger, LedgerBuilder, LedgerReport, Limit, MeasureUsage,
    MissingRecord, NodeRecord, Record, Reserving, Scan, Scanning, Seed, StoreError, StoreErrorKind, StoreReport,
    SyncReply, SyncRequest, Synced, Unreachable, Usage,
};
#[cfg(feature = "limits-file")]
pub use tenant::{Limits, LimitsFile, LimitsFileError, LimitsFileErrorKind};
#[cfg(feature = "redis")]
pub use tenant::{RedisStore, RedisStoreBuilder};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

// What every page shows in Rust is a test too; tests/house sees that none is missing.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/architecture.md")]
struct Architecture;

#[cfg(doctest)]
#[doc = include_str!("../docs/benchmarks.md")]
struct Benchmarks;

#[cfg(doctest)]
#[doc = include_str!("../docs/clients.md")]
struct Clients;

#[cfg(doctest)]
#[doc = include_str!("../docs/comparison.md")]
struct Comparison;

#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook.md")]
struct Cookbook;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../docs/integration.md")]
struct Integration;

#[cfg(doctest)]
#[doc = include_str!("../docs/migration.md")]
struct Migration;

#[cfg(doctest)]
#[doc = include_str!("../docs/operations.md")]
struct Operations;

#[cfg(doctest)]
#[doc = include_str!("../docs/tenants.md")]
struct Tenants;

#[cfg(doctest)]
#[doc = include_str!("../docs/threat-model.md")]
struct ThreatModel;
