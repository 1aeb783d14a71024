//! A tenant costs no allocation beyond its entry.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::Guarded;

use crate::support::*;

fn reads(request: Request<Guarded<Full<Bytes>>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let mut body = request.into_body();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(&mut context) {}
    ready(Ok(Response::new(Full::default())))
}

#[test]
fn an_admitted_request_of_a_known_tenant_allocates_nothing() {
    static CONTENT: [u8; 512] = [7; 512];
    let ledger = ledger(1 << 30);
    let mut service = charging(&ledger).build().unwrap().layer(service_fn(reads));
    let mut count = 0;
    for round in 0..3 {
        let request = request(http::Method::PUT, "/", Full::new(Bytes::from_static(&CONTENT)));
        let counted = allocation_counter::measure(|| {
            let future = pin!(service.call(request));
            let outcome = future.poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(outcome, Poll::Ready(Ok(response)) if response.status() == 200));
        });
        if round > 0 {
            count += counted.count_total;
        }
    }
    assert_eq!((count, usage(&ledger)), (0, (3 * 512, 0)));
}
