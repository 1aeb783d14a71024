//! A body that its handler drops is kept until the response is decided: a client that is still sending could not read a
//! refusal otherwise.

use std::{
    future::pending,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::task::yield_now;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Guarded, Linger, Reason, Refusal, RenderContext, Reservation, StorageFailure, StorageGuardLayer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::{
    support::*,
    watched::{Watch, Watched, watched},
};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(300);
const LENGTH: u64 = 200_000_000;

type Reply = Result<Response<Full<Bytes>>, BoxError>;

/// A client that has sent a MiB and sends on later.
fn sending() -> ScriptedBody {
    ScriptedBody::new().data(1 << 20).hang()
}

fn layer(disk: &FakeResource) -> StorageGuardLayer {
    let linger = Linger::default().hold_for(LONG);
    guarding(disk.resource()).linger(linger).build().unwrap()
}

fn disk_with_room() -> FakeResource {
    FakeResource::new(1 << 40, 1 << 40)
}

/// The thread in which the handler drops its body.
#[derive(Clone, Copy, Debug)]
enum Drops {
    Here,
    InAThread,
}

/// Reads a frame and drops the body; then goes on, while the body is still there.
async fn drops_its_body(request: Request<Guarded<Watched>>, watch: &Watch, drops: Drops) {
    let mut body = request.into_body();
    body.frame().await.unwrap().unwrap();
    match drops {
        Drops::Here => drop(body),
        Drops::InAThread => std::thread::spawn(move || drop(body)).join().unwrap(),
    }
    assert!(watch.is_alive(), "after the handler has dropped it");
    yield_now().await;
    assert!(watch.is_alive(), "while the handler goes on");
}

fn full() -> io::Error {
    ErrorKind::StorageFull.into()
}

fn marked() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let failure = StorageFailure::from_error(&full()).unwrap();
    response.extensions_mut().insert(failure);
    response
}

/// Sends a body to a handler that drops it and then gives this reply. Returns when the response is there.
async fn reply_after_drop(
    layer: &StorageGuardLayer,
    script: ScriptedBody,
    version: Version,
    drops: Drops,
    reply: fn() -> Reply,
) -> (Answer, Watch) {
    let (upload, watch) = watched(script);
    let in_handler = watch.clone();
    let service = layer.layer(service_fn(move |request| {
        let watch = in_handler.clone();
        async move {
            drops_its_body(request, &watch, drops).await;
            reply()
        }
    }));
    let mut request = put(upload);
    *request.version_mut() = version;
    (service.oneshot(request).await.unwrap(), watch)
}

#[tokio::test]
async fn dropped_body_is_kept_until_its_refusal_is_sent() {
    let replies: [fn() -> Reply; 2] = [|| Ok(marked()), || Err(full().into())];
    let scripts = [sending, || sending().telling_length(LENGTH)];
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for reply in replies {
            for script in scripts {
                for drops in [Drops::Here, Drops::InAThread] {
                    let disk = disk_with_room();
                    let layer = layer(&disk);
                    let (response, watch) = reply_after_drop(&layer, script(), version, drops, reply).await;
                    assert_eq!(
                        (response.status().as_u16(), reason(&response)),
                        (507, Some(Reason::Space))
                    );
                    let closes = response.headers().contains_key("connection");
                    assert_eq!(closes, version != Version::HTTP_2, "{version:?}");
                    assert!(watch.is_alive(), "before the answer is sent");
                    let (_, mut body) = response.into_parts();
                    while body.frame().await.is_some() {}
                    assert!(watch.is_alive(), "before the connection is free");
                    assert_eq!(
                        layer.report().lingering,
                        0,
                        "the time begins with the end of the answer"
                    );
                    drop(body);
                    assert_eq!(layer.report().lingering, 1, "{version:?}");
                    yield_now().await;
                    assert!(watch.is_alive(), "kept for a moment");
                }
            }
        }
    }
}

/// On a full disk refusals come first, and their bodies leave boxes behind that are used again.
#[tokio::test]
async fn dropped_body_is_kept_after_a_refusal_too() {
    let small = FakeResource::new(1 << 40, 10);
    let refused = layer(&small).layer(service_fn(reads_all));
    let (upload, _watch) = watched(ScriptedBody::new().data(1000).telling_length(1000));
    assert_eq!(refused.oneshot(put(upload)).await.unwrap().status(), 507);

    let disk = disk_with_room();
    let layer = layer(&disk);
    let reply = || Ok(marked());
    let (response, watch) = reply_after_drop(&layer, sending(), Version::HTTP_11, Drops::Here, reply).await;
    assert_eq!(response.status(), 507);
    assert!(watch.is_alive(), "before the answer is sent");
}

/// The body may be needed up to the response and no longer: its client may have more requests to send.
#[tokio::test]
async fn dropped_body_goes_with_an_admitted_response() {
    let disk = disk_with_room();
    let layer = layer(&disk);
    let reply = || Ok(Response::default());
    let (response, watch) = reply_after_drop(&layer, sending(), Version::HTTP_11, Drops::Here, reply).await;
    assert_eq!(response.status(), 200);
    assert!(!watch.is_alive(), "the response is decided");
    assert_eq!(layer.report().lingered, 0);
}

#[tokio::test]
async fn dropped_body_goes_with_an_error_of_the_service() {
    let disk = disk_with_room();
    let (upload, watch) = watched(sending());
    let in_handler = watch.clone();
    let service = layer(&disk).layer(service_fn(move |request| {
        let watch = in_handler.clone();
        async move {
            drops_its_body(request, &watch, Drops::Here).await;
            Err::<Response<Full<Bytes>>, BoxError>("a handler that fails".into())
        }
    }));
    service.oneshot(put(upload)).await.expect_err("no refusal");
    assert!(!watch.is_alive());
}

#[tokio::test]
async fn dropped_body_goes_with_the_response_future() {
    let disk = disk_with_room();
    let layer = layer(&disk);
    let (upload, watch) = watched(sending());
    let in_handler = watch.clone();
    let service = layer.layer(service_fn(move |request| {
        let watch = in_handler.clone();
        async move {
            drops_its_body(request, &watch, Drops::Here).await;
            pending::<Reply>().await
        }
    }));
    let mut response = Box::pin(service.oneshot(put(upload)));
    for _ in 0..5 {
        assert!(futures_util::poll!(&mut response).is_pending());
    }
    assert!(watch.is_alive());
    drop(response);
    assert!(!watch.is_alive());
    assert_eq!(layer.report().lingered, 0, "no client waits for an answer");
}

#[tokio::test]
async fn dropped_body_goes_when_its_handler_panics() {
    struct Planned;
    async fn panics(request: Request<Guarded<Watched>>, watch: Watch) -> Reply {
        drops_its_body(request, &watch, Drops::Here).await;
        resume_unwind(Box::new(Planned))
    }
    let disk = disk_with_room();
    let (upload, watch) = watched(sending());
    let in_handler = watch.clone();
    let service = layer(&disk).layer(service_fn(move |request| panics(request, in_handler.clone())));
    let response = AssertUnwindSafe(service.oneshot(put(upload)));
    let panic = response.catch_unwind().await.expect_err("a panic");
    assert!(panic.is::<Planned>(), "the body was kept until then");
    assert!(!watch.is_alive());
}

/// A handler that answers first has decided.
#[tokio::test]
async fn body_dropped_after_the_response_is_not_kept() {
    let disk = disk_with_room();
    let (upload, watch) = watched(sending());
    let (sender, receiver) = std::sync::mpsc::channel();
    let service = layer(&disk).layer(service_fn(move |request: Request<Guarded<Watched>>| {
        sender.send(request.into_body()).unwrap();
        async { Reply::Ok(Response::default()) }
    }));
    let response = service.oneshot(put(upload)).await.unwrap();
    let mut body = receiver.recv().unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(watch.is_alive());
    drop(body);
    assert!(!watch.is_alive());
    drop(response);
}

/// The handler may take its time to answer.
#[tokio::test]
async fn cut_off_body_is_kept_until_its_refusal_is_sent() {
    let disk = FakeResource::new(1 << 40, 1000);
    let layer = layer(&disk);
    let (upload, watch) = watched(sending());
    let (in_handler, at_work) = (watch.clone(), layer.clone());
    let service = layer.layer(service_fn(move |request: Request<Guarded<Watched>>| {
        let (watch, layer) = (in_handler.clone(), at_work.clone());
        async move {
            let mut body = request.into_body();
            let error = body.frame().await.unwrap().unwrap_err();
            assert!(error.refusal().is_some());
            drop(body);
            yield_now().await;
            assert!(watch.is_alive());
            assert_eq!(
                layer.report().lingering,
                0,
                "the time begins with the end of the answer"
            );
            Reply::Ok(Response::default())
        }
    }));
    let response = service.oneshot(put(upload)).await.unwrap();
    assert_eq!(response.status(), 507);
    assert!(watch.is_alive());
    drop(response);
    assert_eq!(layer.report().lingering, 1);
    yield_now().await;
    assert!(watch.is_alive(), "kept for a moment");
}

/// A kept body holds no room.
#[tokio::test]
async fn kept_body_holds_no_room_after_the_response() {
    let disk = disk_with_room();
    let layer = layer(&disk);
    let script = sending().telling_length(LENGTH);
    let reply: fn() -> Reply = || Err(full().into());
    let (response, watch) = reply_after_drop(&layer, script, Version::HTTP_11, Drops::Here, reply).await;
    assert!(watch.is_alive());
    let report = disk.report();
    assert_eq!((report.held, report.unseen), (0, 1 << 20));
    drop(response);
}

/// The client still has to read the refusal.
#[tokio::test]
async fn body_cut_off_after_the_response_is_kept() {
    let disk = FakeResource::new(1 << 40, 1000);
    let builder = || guarding(disk.resource()).linger(Linger::default().hold_for(LONG));
    let renderer = |_: &Refusal, _: &RenderContext<'_>| Response::default();
    for builder in [builder(), builder().renderer(renderer)] {
        let layer = builder.build().unwrap();
        let mut body = in_hand(&layer, sending()).await;
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        assert_eq!(layer.report().lingering, 1);
    }
}

/// A handle keeps the room but not the connection.
#[tokio::test]
async fn handle_keeps_no_dropped_body() {
    for (drops_first, answers) in [(true, true), (true, false), (false, true), (false, false)] {
        let disk = disk_with_room();
        let layer = guarding(disk.resource()).expose_reservation(true).build().unwrap();
        let (upload, watch) = watched(sending());
        let (sender, receiver) = std::sync::mpsc::channel();
        let service = layer.layer(service_fn(move |request: Request<Guarded<Watched>>| {
            let handle = request.extensions().get::<Reservation>().unwrap().clone();
            let body = Some(request.into_body()).filter(|_| !drops_first);
            sender.send((handle, body)).unwrap();
            async move {
                if !answers {
                    pending::<()>().await;
                }
                Reply::Ok(Response::default())
            }
        }));
        let mut response = Box::pin(service.oneshot(put(upload)));
        assert_eq!(futures_util::poll!(response.as_mut()).is_ready(), answers);
        let (_handle, body) = receiver.recv().unwrap();
        assert_eq!(watch.is_alive(), !(drops_first && answers));
        drop(response);
        drop(body);
        assert!(!watch.is_alive(), "{drops_first} {answers}");
    }
}

#[tokio::test]
async fn body_read_to_its_end_goes_at_once() {
    let disk = disk_with_room();
    let (upload, watch) = watched(ScriptedBody::new().data(1 << 20));
    let in_handler = watch.clone();
    let service = layer(&disk).layer(service_fn(move |mut request: Request<Guarded<Watched>>| {
        let watch = in_handler.clone();
        async move {
            while request.body_mut().frame().await.is_some() {}
            drop(request);
            assert!(!watch.is_alive());
            Reply::Ok(Response::default())
        }
    }));
    assert_eq!(service.oneshot(put(upload)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn body_of_http2_is_kept_where_that_is_set() {
    for (version, on_http2, is_kept) in [
        (Version::HTTP_11, false, true),
        (Version::HTTP_2, false, false),
        (Version::HTTP_2, true, true),
    ] {
        let disk = disk_with_room();
        let linger = Linger::default().hold_for(LONG).on_http2(on_http2);
        let layer = guarding(disk.resource()).linger(linger).build().unwrap();
        let reply: fn() -> Reply = || Ok(marked());
        let (response, watch) = reply_after_drop(&layer, sending(), version, Drops::Here, reply).await;
        drop(response);
        assert_eq!(watch.is_alive(), is_kept, "{version:?} {on_http2}");
    }
}
