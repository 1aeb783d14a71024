//! The layers that are compared.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use tower::{Layer, ServiceBuilder};
use tower_governor::{
    GovernorLayer,
    governor::{GovernorConfig, GovernorConfigBuilder},
    key_extractor::GlobalKeyExtractor,
};
use tower_http::limit::RequestBodyLimitLayer;
use tower_resilience_bulkhead::BulkheadLayer;
use tower_storage_guard::{Charge, Reading, Resource, StorageGuardBuilder, StorageGuardLayer, test_util::FakeResource};

pub type Reply = Full<Bytes>;

pub const BARE: &str = "bare service";
pub const GUARD: &str = "storage-guard";
pub const LIMIT: &str = "RequestBodyLimit";
pub const SHED: &str = "ConcurrencyLimit + LoadShed";
pub const BULKHEAD: &str = "bulkhead";
pub const GOVERNOR: &str = "governor";
pub const MEMLIM: &str = "memlim";
pub const STATVFS: &str = "from_fn, statvfs";
pub const SYSINFO: &str = "from_fn, sysinfo";
pub const FROM_FN: &str = "from_fn alone";

/// A disk of which no run uses up anything that matters. Its probe is not the point: no request calls one.
pub fn disk() -> Resource {
    let reading = Reading::new(1 << 59, 1 << 58).with_block_size(4096);
    FakeResource::with(reading, |builder| builder).resource()
}

pub fn memory() -> Resource {
    FakeResource::new(1 << 59, 1 << 58).resource()
}

pub fn full_disk() -> Resource {
    FakeResource::new(1 << 30, 0).resource()
}

pub fn on_disk() -> StorageGuardBuilder {
    StorageGuardLayer::builder().resource(disk())
}

pub fn on_disk_and_memory() -> StorageGuardBuilder {
    on_disk().resource_charged(memory(), Charge::Window(256 << 10))
}

pub fn guard<S>(builder: StorageGuardBuilder, inner: S) -> tower_storage_guard::StorageGuard<S> {
    builder.build().expect("sound settings").layer(inner)
}

pub const LARGEST: usize = 1 << 30;

pub fn limit<S>(largest: usize, inner: S) -> tower_http::limit::RequestBodyLimit<S> {
    RequestBodyLimitLayer::new(largest).layer(inner)
}

pub fn shed<S>(permits: usize, inner: S) -> tower::load_shed::LoadShed<tower::limit::ConcurrencyLimit<S>> {
    ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(permits)
        .service(inner)
}

pub fn bulkhead() -> BulkheadLayer {
    let builder = BulkheadLayer::builder()
        .max_concurrent_calls(1 << 16)
        .reject_when_full();
    builder.build().expect("sound settings")
}

type NoMiddleware = governor::middleware::NoOpMiddleware<governor::clock::QuantaInstant>;

pub fn governor() -> GovernorLayer<GlobalKeyExtractor, NoMiddleware, axum::body::Body> {
    let config: Arc<GovernorConfig<_, _>> = Arc::new(
        GovernorConfigBuilder::default()
            .key_extractor(GlobalKeyExtractor)
            .per_nanosecond(1)
            .burst_size(u32::MAX)
            .finish()
            .expect("sound settings"),
    );
    GovernorLayer::new(config)
}
