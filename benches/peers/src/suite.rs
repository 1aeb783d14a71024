//! What is measured: cases, and in each the same work behind one layer after the other.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{body::Body as AxumBody, middleware::from_fn};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_http::limit::RequestBodyLimitLayer;
use tower_memlim::{
    layer::MemoryLimitLayer,
    memory::{AvailableMemory, LinuxCgroupMemory, Threshold},
};
use tower_storage_guard::StorageGuardLayer;

use crate::{
    frames::{FRAMES, large},
    meter::Bench,
    naive, stack,
    subjects::*,
    tenants::{self, Requests, TENANT},
    work::*,
};

/// The same work behind several layers. The first is what the others are compared with.
pub struct Case {
    pub name: &'static str,
    /// How often in one piece.
    pub batch: usize,
    /// What is counted: requests, or their frames.
    pub units: usize,
    /// Too much for callgrind, which takes fifty times as long.
    pub only_timed: bool,
    pub build: fn() -> Vec<Bench>,
}

pub const KNOWN: &str = "known length";
pub const BOXED: &str = "known length, boxed service";
pub const AXUM_BODIES: &str = "known length, axum's bodies";
pub const UNKNOWN: &str = "unknown length";
pub const EXEMPT: &str = "GET";
pub const REFUSED: &str = "refused";
pub const FRAMES_KNOWN: &str = "frame of 16 KiB, known length";
pub const FRAMES_UNKNOWN: &str = "frame of 16 KiB, unknown length";
pub const STACK: &str = "hyper and axum, around the router";
pub const IN_ROUTER: &str = "hyper and axum, in the router";
pub const TENANTS: [&str; 4] = ["one tenant", "1k tenants", "100k tenants", "1M tenants"];

pub const TWO: &str = "storage-guard, disk + memory";
pub const THREE: &str = "storage-guard, disk + memory + tenant";
pub const GUARD_507: &str = "storage-guard, 507";
pub const GUARD_413: &str = "storage-guard, 413";

pub fn cases() -> Vec<Case> {
    let case = |name, build| Case {
        name,
        batch: 64,
        units: 1,
        only_timed: false,
        build,
    };
    let frames = |name, build| Case {
        batch: 1,
        units: FRAMES,
        ..case(name, build)
    };
    let many = |name, build| Case {
        batch: 1024,
        only_timed: true,
        ..case(name, build)
    };
    vec![
        case(KNOWN, known),
        case(BOXED, boxed),
        case(AXUM_BODIES, axum_bodies),
        case(UNKNOWN, unknown),
        case(EXEMPT, exempt),
        case(REFUSED, refused),
        frames(FRAMES_KNOWN, || frames_of(true)),
        frames(FRAMES_UNKNOWN, || frames_of(false)),
        case(STACK, around_the_router),
        case(IN_ROUTER, in_the_router),
        case(TENANTS[0], || with_tenants(1)),
        case(TENANTS[1], || with_tenants(1_000)),
        many(TENANTS[2], || with_tenants(100_000)),
        many(TENANTS[3], || with_tenants(1_000_000)),
    ]
}

type Inner = Reader<Reply>;

fn inner() -> Inner {
    Reader::default()
}

fn known() -> Vec<Bench> {
    let with_tenant = || on_disk_and_memory().tenant(tenants::ledger(1), tenants::key());
    let mut one_tenant = Requests::one_hot();
    let mut benches = vec![
        serving(BARE, inner(), 200, post),
        serving(GUARD, guard(on_disk(), inner()), 200, post),
        serving(TWO, guard(on_disk_and_memory(), inner()), 200, post),
        serving(THREE, guard(with_tenant(), inner()), 200, move || one_tenant.make()),
        serving(LIMIT, limit(LARGEST, inner()), 200, post),
        serving(SHED, shed(1 << 16, inner()), 200, post),
        serving(BULKHEAD, bulkhead().layer(inner()), 200, post),
    ];
    if LinuxCgroupMemory
        .available_memory()
        .is_ok_and(|available| available > 0)
    {
        let layer = MemoryLimitLayer::new(Threshold::MinAvailableBytes(1), LinuxCgroupMemory);
        let service = ServiceBuilder::new().layer(layer).service(inner());
        benches.push(serving(MEMLIM, service, 200, post));
    }
    benches
}

/// In a runtime, as servers are: some of the layers make timers.
pub fn in_runtime<T>(run: impl FnOnce() -> T) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    run()
}

fn boxed() -> Vec<Bench> {
    fn inner<B>() -> BoxCloneService<Request<B>, Response<Reply>, Infallible>
    where
        B: http_body::Body + Send + 'static,
    {
        Reader::default().boxed_clone()
    }
    vec![
        serving(BARE, inner(), 200, post),
        serving(GUARD, guard(on_disk(), inner()), 200, post),
        serving(TWO, guard(on_disk_and_memory(), inner()), 200, post),
        serving(LIMIT, limit(LARGEST, inner()), 200, post),
    ]
}

fn axum_bodies() -> Vec<Bench> {
    type Inner = Reader<AxumBody>;
    fn post() -> Request<AxumBody> {
        request(Method::POST, Some(LENGTH), AxumBody::new(content()))
    }
    let inner = Inner::default;
    vec![
        serving(BARE, inner(), 200, post),
        serving(GUARD, guard(on_disk(), inner()), 200, post),
        serving(LIMIT, limit(LARGEST, inner()), 200, post),
        serving(GOVERNOR, governor().layer(inner()), 200, post),
        serving(FROM_FN, from_fn(naive::nothing).layer(inner()), 200, post),
        serving(STATVFS, from_fn(naive::statvfs).layer(inner()), 200, post),
        serving(SYSINFO, from_fn(naive::sysinfo).layer(inner()), 200, post),
    ]
}

fn unknown() -> Vec<Bench> {
    vec![
        serving(BARE, inner(), 200, post_chunked),
        serving(GUARD, guard(on_disk(), inner()), 200, post_chunked),
        serving(TWO, guard(on_disk_and_memory(), inner()), 200, post_chunked),
        serving(LIMIT, limit(LARGEST, inner()), 200, post_chunked),
    ]
}

fn exempt() -> Vec<Bench> {
    let get = || request(Method::GET, Some(0), Full::<Bytes>::default());
    vec![
        serving(BARE, inner(), 200, get),
        serving(GUARD, guard(on_disk(), inner()), 200, get),
        serving(
            THREE,
            guard(on_disk_and_memory().tenant(tenants::ledger(1), tenants::key()), inner()),
            200,
            get,
        ),
        serving(LIMIT, limit(LARGEST, inner()), 200, get),
    ]
}

/// Says no and nothing else.
#[derive(Clone)]
struct Refuser;

impl<B> Service<Request<B>> for Refuser {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Reply>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Reply::default());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        ready(Ok(response))
    }
}

fn refused() -> Vec<Bench> {
    let small = || StorageGuardLayer::builder().max_body(16);
    let full = || StorageGuardLayer::builder().resource(full_disk());
    vec![
        serving(BARE, Refuser, 413, post),
        serving(GUARD_507, guard(full(), inner()), 507, post),
        serving(GUARD_413, guard(small(), inner()), 413, post),
        serving(LIMIT, limit(16, inner()), 413, post),
        serving(SHED, shed(0, inner()), 0, post),
    ]
}

fn frames_of(tells_length: bool) -> Vec<Bench> {
    let large = move || large(tells_length);
    vec![
        serving(BARE, inner(), 200, large),
        serving(GUARD, guard(on_disk(), inner()), 200, large),
        serving(TWO, guard(on_disk_and_memory(), inner()), 200, large),
        serving(LIMIT, limit(LARGEST, inner()), 200, large),
    ]
}

fn around_the_router() -> Vec<Bench> {
    vec![
        stack::connection(BARE, stack::router()),
        stack::connection(GUARD, guard(on_disk(), stack::router())),
        stack::connection(TWO, guard(on_disk_and_memory(), stack::router())),
        stack::connection(LIMIT, limit(LARGEST, stack::router())),
    ]
}

fn in_the_router() -> Vec<Bench> {
    let guard = |builder: tower_storage_guard::StorageGuardBuilder| builder.build().expect("sound settings");
    vec![
        stack::connection(BARE, stack::router()),
        stack::connection(GUARD, stack::router().layer(guard(on_disk()))),
        stack::connection(TWO, stack::router().layer(guard(on_disk_and_memory()))),
        stack::connection(LIMIT, stack::router().layer(RequestBodyLimitLayer::new(LARGEST))),
    ]
}

/// Looks for the tenant's header, for the figure without that.
#[derive(Clone)]
struct Looks<S>(S);

impl<S: Service<Request<B>>, B> Service<Request<B>> for Looks<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let value = request.headers().get(&TENANT);
        std::hint::black_box(value.is_some_and(|value| value.to_str().is_ok()));
        self.0.call(request)
    }
}

fn with_tenants(tenants: usize) -> Vec<Bench> {
    let mut without = Requests::zipf(tenants);
    let mut with = Requests::zipf(tenants);
    let charging = on_disk_and_memory().tenant(tenants::ledger(tenants), tenants::key());
    vec![
        serving(TWO, Looks(guard(on_disk_and_memory(), inner())), 200, move || {
            without.make()
        }),
        serving(THREE, guard(charging, inner()), 200, move || with.make()),
    ]
}
