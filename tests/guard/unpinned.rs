//! Bodies that are not `Unpin`, such as those of tower-http's timeouts, are guarded like any other.

use std::{
    marker::PhantomPinned,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutBody};
use tower_storage_guard::{
    BodyErrorKind, Guarded, Leasing, Ledger, Limit, Linger, Reason, StorageFailure, TenantFrom,
    test_util::{FakeResource, FakeStore, ManualClock, ScriptError, ScriptedBody},
};

use crate::support::*;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(300);

pin_project! {
    /// A body that must not be moved once it was polled, and tells whether it is still there.
    struct Pinned {
        #[pin]
        script: ScriptedBody,
        // Where it was polled.
        address: Option<usize>,
        alive: Arc<()>,
        #[pin]
        pinned: PhantomPinned,
    }
}

impl Body for Pinned {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        let now = &raw const *self as usize;
        let this = self.project();
        assert_eq!(*this.address.get_or_insert(now), now, "moved after it was polled");
        this.script.poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}

fn pinned(script: ScriptedBody) -> (Pinned, Weak<()>) {
    let alive = Arc::new(());
    let watch = Arc::downgrade(&alive);
    let body = Pinned {
        script,
        address: None,
        alive,
        pinned: PhantomPinned,
    };
    (body, watch)
}

type Reply = Result<Response<Full<Bytes>>, BoxError>;

async fn collects(request: Request<Guarded<Pinned>>) -> Reply {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::from(body.len().to_string())))
}

#[tokio::test]
async fn request_body_timeout_stands_outside_of_the_guard() {
    async fn stores(request: Request<Guarded<TimeoutBody<Full<Bytes>>>>) -> Reply {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Full::from(body.len().to_string())))
    }
    let disk = disk(1000);
    let service = ServiceBuilder::new()
        .layer(RequestBodyTimeoutLayer::new(LONG))
        .layer(guarding(disk.resource()).build().unwrap())
        .service_fn(stores);
    let response = service.clone().oneshot(put(zeros(600))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "600");
    assert_eq!(disk.report().unseen, 600);
    let response = service.oneshot(put(zeros(600))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::Space))
    );
}

#[tokio::test]
async fn unpinned_body_is_counted() {
    for script in [chunks(&[100, 200]), chunks(&[100, 200]).telling_length(300)] {
        let disk = disk(1000);
        let service = guarding(disk.resource()).build().unwrap().layer(service_fn(collects));
        let response = service.oneshot(put(pinned(script).0)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "300");
        let report = disk.report();
        assert_eq!((report.unseen, report.held), (300, 0));
    }
}

#[tokio::test]
async fn unpinned_body_is_refused_at_the_head() {
    let service = guarding(disk(1000).resource())
        .build()
        .unwrap()
        .layer(service_fn(collects));
    let (body, _watch) = pinned(ScriptedBody::new().telling_length(1001));
    assert_eq!(service.oneshot(put(body)).await.unwrap().status(), 507);
}

#[tokio::test]
async fn unpinned_body_is_cut_off_and_lingers() {
    async fn reads(request: Request<Guarded<Pinned>>) -> Reply {
        let mut body = pin!(request.into_body());
        assert!(body.frame().await.unwrap().is_ok());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), BodyErrorKind::Refused);
        assert!(body.frame().await.is_none(), "after that it is at its end");
        Ok(Response::default())
    }
    let layer = guarding(disk(1000).resource()).linger(Linger::default().hold_for(LONG));
    let layer = layer.build().unwrap();
    let (body, watch) = pinned(chunks(&[600, 600]).hang());
    let response = layer.layer(service_fn(reads)).oneshot(put(body)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::Space))
    );
    drop(response);
    tokio::task::yield_now().await;
    assert_eq!(watch.strong_count(), 1, "kept for a moment");
    assert_eq!(layer.report().lingering, 1);
}

/// A part of it is read, and it stays where it was.
#[tokio::test]
async fn unpinned_body_lingers_after_a_late_failure() {
    async fn fails(request: Request<Guarded<Pinned>>) -> Reply {
        {
            let mut body = pin!(request.into_body());
            body.frame().await.unwrap()?;
        }
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let mut response = Response::new(Full::default());
        let failure = StorageFailure::from_error(&full).unwrap();
        response.extensions_mut().insert(failure);
        Ok(response)
    }
    let layer = guarding(disk(1000).resource()).linger(Linger::default().hold_for(LONG));
    let layer = layer.build().unwrap();
    let (body, watch) = pinned(chunks(&[100, 100, 100]).hang());
    let response = layer.layer(service_fn(fails)).oneshot(put(body)).await.unwrap();
    assert_eq!(response.status(), 507);
    assert_eq!(watch.strong_count(), 1, "before the answer is sent");
    drop(response);
    tokio::task::yield_now().await;
    assert_eq!(watch.strong_count(), 1, "kept for a moment");
    assert_eq!(layer.report().lingering, 1);
}

/// A request that waits for its tenant's ledger is moved before its body is polled, and never after.
#[tokio::test]
async fn unpinned_body_waits_for_a_store() {
    let clock = ManualClock::new();
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(1 << 20))
        .leasing(Leasing::new(FakeStore::new().with_clock(&clock)).node("here"))
        .manual(clock)
        .build()
        .unwrap();
    let layer = guarding(FakeResource::new(1 << 40, 1 << 40).resource()).tenant(
        ledger.clone(),
        TenantFrom::header(http::HeaderName::from_static("x-tenant")),
    );
    let service = layer.build().unwrap().layer(service_fn(collects));
    let mut request = put(pinned(chunks(&[100_000; 15])).0);
    request.headers_mut().insert("x-tenant", "t".parse().unwrap());
    let mut response = Box::pin(service.oneshot(request));
    let response = loop {
        match futures_util::poll!(&mut response) {
            Poll::Ready(response) => break response.unwrap(),
            Poll::Pending => assert!(ledger.step(), "waits for nothing"),
        }
    };
    assert_eq!(reason(&response), Some(Reason::ExceedsQuota));
}
