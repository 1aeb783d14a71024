//! A reservation that its handler keeps: it ends with the body, the response and the last clone, whichever goes last.

use std::{any::Any, future::pending, panic::AssertUnwindSafe, sync::mpsc, thread};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Guarded, Ledger, Reservation, StorageGuardBuilder, StorageGuardLayer, TenantFrom, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const MIB: u64 = 1 << 20;
const FREE: u64 = 100 * MIB;
const UPLOAD: u64 = 60 * MIB;
const TENANT: HeaderName = HeaderName::from_static("x-tenant");

type Upload = Request<Guarded<ScriptedBody>>;
type Reply = Result<Response<Full<Bytes>>, BoxError>;

fn disk_with_room() -> FakeResource {
    FakeResource::new(FREE, FREE)
}

fn exposing(disk: &FakeResource) -> StorageGuardBuilder {
    let builder = guarding(disk.resource()).expose_reservation(true);
    builder.write_buffer(WriteBuffer::Whole)
}

/// A body of 60 MiB.
fn upload() -> ScriptedBody {
    let frames = (0..60).fold(ScriptedBody::new(), |body, _| body.data(MIB as usize));
    frames.telling_length(UPLOAD)
}

fn handle(request: &Upload) -> Reservation {
    let handle = request.extensions().get::<Reservation>();
    handle.expect("a reservation").clone()
}

/// A reading gives nothing of it away.
#[track_caller]
fn assert_held(disk: &FakeResource, what: &str) {
    for report in [disk.report(), disk.sample()] {
        assert_eq!((report.held, report.unseen), (UPLOAD, 0), "{what}");
        assert_eq!(report.headroom, (FREE - UPLOAD) as i64, "{what}");
    }
}

#[track_caller]
fn assert_closed(disk: &FakeResource, bytes: u64, what: &str) {
    let report = disk.report();
    assert_eq!((report.held, report.unseen), (0, bytes), "{what}");
    assert_eq!(disk.sample().headroom, FREE as i64, "{what}");
}

#[test]
fn handle_can_be_shared_by_threads() {
    fn demands<T: Clone + Send + Sync + 'static>() {}
    demands::<Reservation>();
}

/// A request whose handler has collected its body and does not answer: the response, the body and the handle.
async fn collected(
    layer: &StorageGuardLayer,
    body: ScriptedBody,
) -> (BoxFuture<'static, Reply>, Guarded<ScriptedBody>, Reservation) {
    let (sender, receiver) = mpsc::channel();
    let service = layer.layer(service_fn(move |mut request: Upload| {
        let sender = sender.clone();
        async move {
            while let Some(Ok(_)) = request.body_mut().frame().await {}
            let handle = handle(&request);
            sender.send((request.into_body(), handle)).unwrap();
            pending::<Reply>().await
        }
    }));
    let mut request = put(body);
    request.headers_mut().insert(TENANT, "t".parse().unwrap());
    let response = service
        .oneshot(request)
        .map(|response| response.map(|_| Response::default()));
    let mut response: BoxFuture<'static, Reply> = response.boxed();
    assert!(futures_util::poll!(&mut response).is_pending());
    let (body, handle) = receiver.recv().unwrap();
    (response, body, handle)
}

/// The client leaves while a blocking write goes on.
#[tokio::test]
async fn kept_handle_keeps_the_room_of_a_dropped_request() {
    let disk = disk_with_room();
    let layer = exposing(&disk).build().unwrap();
    let (response, body, handle) = collected(&layer, upload()).await;
    assert_eq!(handle.reserved(), UPLOAD);
    let (finish, may_finish) = mpsc::channel::<()>();
    let writes = thread::spawn(move || {
        let _ = may_finish.recv();
        drop(handle);
    });
    drop((response, body));
    assert_held(&disk, "while it is written");
    let others = layer.layer(service_fn(reads_nothing));
    let large = || ScriptedBody::new().telling_length(50 * MIB);
    assert_eq!(status(&others, large()).await, 507);

    drop(finish);
    writes.join().unwrap();
    assert_closed(&disk, UPLOAD, "after the write");
    assert_eq!(status(&others, large()).await, 200);
}

/// Every order in which four holders can go, each from a thread of its own.
#[tokio::test]
async fn last_holder_ends_the_reservation() {
    for order in orders() {
        let disk = disk_with_room();
        let layer = exposing(&disk).build().unwrap();
        let (response, body, handle) = collected(&layer, upload()).await;
        let clone = handle.clone();
        let mut holders: [Option<Box<dyn Any + Send>>; 4] = [
            Some(Box::new(response)),
            Some(Box::new(body)),
            Some(Box::new(handle)),
            Some(Box::new(clone)),
        ];
        for next in order {
            assert_held(&disk, &format!("{order:?} before {next}"));
            let holder = holders[next].take();
            thread::spawn(move || drop(holder)).join().unwrap();
        }
        assert_closed(&disk, UPLOAD, &format!("{order:?}"));
    }
}

fn orders() -> Vec<[usize; 4]> {
    let mut orders = Vec::new();
    for code in 0..256 {
        let order = [code % 4, code / 4 % 4, code / 16 % 4, code / 64];
        if (0..4).all(|holder| order.contains(&holder)) {
            orders.push(order);
        }
    }
    assert_eq!(orders.len(), 24);
    orders
}

#[tokio::test]
async fn release_ends_the_last_clone() {
    let disk = disk_with_room();
    let layer = exposing(&disk).build().unwrap();
    let (response, body, handle) = collected(&layer, upload()).await;
    drop((response, body));
    assert_held(&disk, "before");
    handle.release();
    assert_closed(&disk, UPLOAD, "after");
}

/// A handler that answers 202 and writes in a task.
#[tokio::test]
async fn kept_handle_outlives_an_answered_request() {
    let disk = disk_with_room();
    let ledger = Ledger::builder().build().unwrap();
    let layer = exposing(&disk).tenant(ledger.clone(), TenantFrom::header(TENANT));
    let (sender, receiver) = mpsc::channel();
    let service = layer.build().unwrap().layer(service_fn(move |mut request: Upload| {
        let sender = sender.clone();
        async move {
            while let Some(Ok(_)) = request.body_mut().frame().await {}
            sender.send(handle(&request)).unwrap();
            Reply::Ok(Response::builder().status(202).body(Full::default()).unwrap())
        }
    }));
    let mut request = put(upload());
    request.headers_mut().insert(TENANT, "t".parse().unwrap());
    assert_eq!(service.oneshot(request).await.unwrap().status(), 202);
    let handle = receiver.recv().unwrap();
    assert_held(&disk, "while the task writes");
    let usage = ledger.usage("t");
    assert_eq!(usage.used + usage.reserved, UPLOAD, "counted once");
    thread::spawn(move || drop(handle)).join().unwrap();
    assert_closed(&disk, UPLOAD, "after the task");
    let usage = ledger.usage("t");
    assert_eq!((usage.used, usage.reserved), (UPLOAD, 0));
}

#[tokio::test]
async fn handle_of_a_dropped_request_charges_no_tenant() {
    let disk = disk_with_room();
    let ledger = Ledger::builder().build().unwrap();
    let layer = exposing(&disk).tenant(ledger.clone(), TenantFrom::header(TENANT));
    let (response, body, handle) = collected(&layer.build().unwrap(), upload()).await;
    drop((response, body));
    assert_eq!(ledger.usage("t").reserved, UPLOAD, "the write goes on");
    drop(handle);
    let usage = ledger.usage("t");
    assert_eq!((usage.used, usage.reserved), (0, 0));
}

/// Announced bytes that never came are refunded at the end.
#[tokio::test]
async fn kept_handle_closes_no_more_than_came() {
    let disk = disk_with_room();
    let layer = exposing(&disk).build().unwrap();
    let body = ScriptedBody::new().data(MIB as usize).error("the client is gone");
    let (response, body, handle) = collected(&layer, body.telling_length(UPLOAD)).await;
    drop((response, body));
    let report = disk.report();
    assert_eq!(report.unseen, 0);
    assert!(report.held >= MIB, "{} bytes are held", report.held);
    drop(handle);
    assert_closed(&disk, MIB, "what came");
}

#[tokio::test]
async fn kept_handle_outlives_a_panic() {
    let disk = disk_with_room();
    let (sender, receiver) = mpsc::channel();
    let layer = exposing(&disk).build().unwrap();
    let service = layer.layer(service_fn(move |mut request: Upload| {
        let sender = sender.clone();
        async move {
            while let Some(Ok(_)) = request.body_mut().frame().await {}
            sender.send(handle(&request)).unwrap();
            std::panic::resume_unwind(Box::new("a handler that panics"))
        }
        .map(|()| Reply::Ok(Response::default()))
    }));
    let response = AssertUnwindSafe(service.oneshot(put(upload())));
    assert!(response.catch_unwind().await.is_err());
    let handle = receiver.recv().unwrap();
    assert_held(&disk, "while another thread writes");
    drop(handle);
    assert_closed(&disk, UPLOAD, "after that");
}

#[tokio::test]
async fn handle_survives_its_layer() {
    let disk = disk_with_room();
    let layer = exposing(&disk).build().unwrap();
    let (response, body, handle) = collected(&layer, upload()).await;
    drop((response, body, layer));
    assert_held(&disk, "without the layer");
    assert_eq!(handle.reserved(), UPLOAD);
    thread::spawn(move || drop(handle)).join().unwrap();
    assert_closed(&disk, UPLOAD, "without the layer");
}

#[tokio::test]
async fn handle_grows_with_an_unknown_length() {
    let disk = disk_with_room();
    let layer = exposing(&disk).build().unwrap();
    let frames = (0..3).fold(ScriptedBody::new(), |body, _| body.data(MIB as usize));
    let (response, body, handle) = collected(&layer, frames).await;
    assert!(handle.reserved() >= 3 * MIB, "{} bytes", handle.reserved());
    drop((response, body));
    assert!(disk.report().held >= 3 * MIB);
    drop(handle);
    assert_closed(&disk, 3 * MIB, "what came");
}

#[tokio::test]
async fn reservation_is_hidden_by_default() {
    async fn looks(request: Upload) -> Reply {
        assert!(request.extensions().get::<Reservation>().is_none());
        Ok(Response::default())
    }
    let disk = disk_with_room();
    for builder in [
        guarding(disk.resource()),
        guarding(disk.resource()).expose_reservation(false),
    ] {
        let service = builder.build().unwrap().layer(service_fn(looks));
        assert_eq!(status(&service, upload()).await, 200);
    }
}
