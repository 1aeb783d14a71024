//! The admitted path with a known length and the exempt path allocate nothing.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{Floor, Guarded, Resource, test_util::ScriptedBody};

use crate::support::*;

type Reply = Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Reads its body without collecting it, so that all allocations are the guard's.
fn reads(request: Request<Guarded<Full<Bytes>>>) -> Reply {
    let mut context = Context::from_waker(Waker::noop());
    let mut body = request.into_body();
    while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(&mut context) {}
    ready(Ok(Response::new(Full::default())))
}

fn request(method: Method, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    request
        .headers_mut()
        .insert("accept", http::HeaderValue::from_static("*/*"));
    request
}

/// Allocations of one call, from the request to the response, after a first one.
fn allocations<S, R>(service: &mut S, method: Method) -> (u64, u16)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
{
    static CONTENT: [u8; 4096] = [7; 4096];
    let next = || request(method.clone(), Full::new(Bytes::from_static(&CONTENT)));
    allocations_of(service, next)
}

fn allocations_of<S, R>(service: &mut S, next: impl Fn() -> Request<Full<Bytes>>) -> (u64, u16)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
{
    let mut one = |request| {
        let future = service.call(request);
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(response)) => response.status().as_u16(),
            _ => panic!("answers at once"),
        }
    };
    one(next());
    let next = next();
    let mut status = 0;
    let counted = allocation_counter::measure(|| status = one(next));
    (counted.count_total, status)
}

#[test]
fn admitting_a_known_length_allocates_nothing() {
    let real = Resource::disk(std::env::temp_dir())
        .floor(Floor::NONE)
        .build()
        .expect("measures");
    for resources in [
        vec![disk(1 << 30).resource()],
        vec![real.clone()],
        vec![real, disk(1 << 30).resource(), disk(1 << 30).resource()],
    ] {
        let builder = resources.into_iter().fold(
            tower_storage_guard::StorageGuardLayer::builder(),
            |builder, resource| builder.resource(resource),
        );
        let mut service = builder.build().unwrap().layer(service_fn(reads));
        assert_eq!(allocations(&mut service, Method::PUT), (0, 200));
    }
}

#[test]
fn an_exempt_request_allocates_nothing() {
    let mut service = guarding(disk(0).resource()).build().unwrap().layer(service_fn(reads));
    assert_eq!(allocations(&mut service, Method::GET), (0, 200));
    assert_eq!(allocations(&mut service, Method::DELETE), (0, 200));
}

/// The counter does count: a refusal is in the response's extensions. The rest has room in what the request brought.
#[test]
fn a_refusal_allocates_a_little() {
    let mut service = guarding(disk(0).resource()).build().unwrap().layer(service_fn(reads));
    let (count, status) = allocations(&mut service, Method::PUT);
    assert_eq!(status, 507);
    assert!((1..=3).contains(&count), "{count}");
    for accept in ["*/*", "text/html", "text/plain"] {
        let with_extensions = || {
            let mut request = request(Method::PUT, Full::new(Bytes::from_static(b"x")));
            let accept = http::HeaderValue::from_static(accept);
            request.headers_mut().insert("accept", accept);
            request.extensions_mut().insert(7_u8);
            request
        };
        assert_eq!(allocations_of(&mut service, with_extensions), (1, 507), "{accept}");
    }
}

/// Nothing for the protocol that is kept, nor for room that is taken as the body comes.
#[test]
fn admitting_an_unknown_length_allocates_nothing() {
    let mut service = guarding(disk(1 << 19).resource()).build().unwrap().layer(service_fn(
        |request: Request<Guarded<ScriptedBody>>| {
            drop(request);
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        },
    ));
    let mut one = || {
        let request = put(chunks(&[1000, 1000]));
        let counted = allocation_counter::measure(|| {
            let future = std::pin::pin!(service.call(request));
            assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        });
        counted.count_total
    };
    one();
    assert_eq!(one(), 0);
}

/// Many at once take new slots once, and none later.
#[test]
fn slots_are_used_again() {
    let mut service = guarding(disk(1 << 40).resource())
        .build()
        .unwrap()
        .layer(service_fn(|request: Request<_>| {
            // Kept by the answer, so that the hold lives on.
            let body: Guarded<Full<Bytes>> = request.into_body();
            ready(Ok::<_, Infallible>(Response::new(body)))
        }));
    let mut many = |count: usize| {
        let mut futures = Vec::with_capacity(count);
        let requests: Vec<_> = (0..count)
            .map(|_| request(Method::PUT, Full::new(Bytes::from_static(b"x"))))
            .collect();
        allocation_counter::measure(|| futures.extend(requests.into_iter().map(|request| service.call(request))))
            .count_total
    };
    assert!(many(5000) > 0);
    assert_eq!(many(5000), 0);
}
