//! By default nothing of a body counts as written before its request ends: the commonest handlers collect.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Guarded, StorageGuardLayer, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const MIB: u64 = 1 << 20;
const UPLOAD: u64 = 60 * MIB;

/// 100 MiB, all of them free.
fn hundred_free() -> FakeResource {
    FakeResource::new(100 * MIB, 100 * MIB)
}

/// A body of 60 MiB.
fn upload() -> ScriptedBody {
    let frames = (0..60).fold(ScriptedBody::new(), |body, _| body.data(MIB as usize));
    frames.telling_length(UPLOAD)
}

/// Reads a whole body without an answer yet, and calls `meanwhile` at that moment.
async fn while_collected(layer: &StorageGuardLayer, body: ScriptedBody, meanwhile: impl AsyncFnOnce()) {
    let (collected, is_collected) = oneshot::channel();
    let (answer, may_answer) = oneshot::channel::<()>();
    let gates = Arc::new(Mutex::new(Some((collected, may_answer))));
    let service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        let (collected, may_answer) = gates.lock().unwrap().take().unwrap();
        async move {
            let bytes = request.into_body().collect().await?.to_bytes();
            collected.send(bytes.len() as u64).unwrap();
            may_answer.await?;
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let mut response = Box::pin(service.oneshot(put(body)));
    assert!(futures_util::poll!(&mut response).is_pending());
    assert_eq!(is_collected.await.unwrap(), UPLOAD);
    meanwhile().await;
    answer.send(()).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[test]
fn default_buffer_is_whole() {
    assert_eq!(WriteBuffer::default(), WriteBuffer::Whole);
}

#[tokio::test]
async fn collected_body_is_held_whole_by_default() {
    for body in [upload, || {
        (0..60).fold(ScriptedBody::new(), |body, _| body.data(MIB as usize))
    }] {
        let disk = hundred_free();
        let layer = guarding(disk.resource()).build().unwrap();
        while_collected(&layer, body(), async || {
            let report = disk.report();
            assert_eq!(report.unseen, 0, "nothing closes early");
            assert!(report.held >= UPLOAD, "{} bytes are held", report.held);
            // The disk does not show a byte of it, and the next reading gives nothing away.
            let report = disk.sample();
            assert!(report.headroom <= (40 * MIB) as i64, "headroom {}", report.headroom);
            let others = layer.layer(service_fn(reads_nothing));
            let length = |bytes| ScriptedBody::new().telling_length(bytes);
            assert_eq!(status(&others, length(50 * MIB)).await, 507);
            assert_eq!(status(&others, length(30 * MIB)).await, 200);
        })
        .await;
        let report = disk.report();
        assert_eq!((report.unseen, report.held), (UPLOAD, 0), "closed when it ended");
    }
}

#[tokio::test]
async fn declared_buffer_closes_early() {
    const BUFFER: u64 = 8 * MIB;
    let disk = hundred_free();
    let layer = guarding(disk.resource()).write_buffer(WriteBuffer::Bytes(BUFFER));
    while_collected(&layer.build().unwrap(), upload(), async || {
        let report = disk.report();
        assert!(report.held >= BUFFER, "{} bytes are held", report.held);
        assert!(report.held <= BUFFER + MIB, "{} bytes are held", report.held);
        assert_eq!(report.unseen + report.held, UPLOAD);
        disk.probe().set_available(100 * MIB - report.unseen);
        let headroom = disk.sample().headroom;
        assert_eq!(headroom, (40 * MIB) as i64, "each byte counts once");
    })
    .await;
}

/// Ten uploads into axum's `Bytes` on a disk that takes one of them.
#[tokio::test]
async fn collecting_extractor_is_safe_by_default() {
    use axum::{Router, body::Body, extract::DefaultBodyLimit, routing};
    let disk = hundred_free();
    let collects = |_: Bytes| async {
        // Writes for ever.
        pending::<()>().await;
    };
    let router = Router::new()
        .route("/", routing::put(collects))
        .layer(DefaultBodyLimit::disable())
        .layer(guarding(disk.resource()).build().unwrap());
    let mut under_way = Vec::new();
    for _ in 0..10 {
        let mut response = Box::pin(router.clone().oneshot(put(Body::new(upload()))));
        match futures_util::poll!(&mut response) {
            Poll::Ready(answer) => assert_eq!(answer.unwrap().status(), 507),
            Poll::Pending => under_way.push(response),
        }
        disk.sample();
    }
    assert_eq!(under_way.len(), 1, "handlers that have 60 MiB to write");
}
