//! Every way a request can end gives every byte back.

use std::{
    future::{Future, pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_storage_guard::{
    BodyError, Guarded, StorageGuardLayer, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const MIB: usize = 1 << 20;
const FREE: u64 = 100 * MIB as u64;

type Request = http::Request<Guarded<ScriptedBody>>;

/// How a body of some frames goes on.
type Ending = fn(ScriptedBody) -> ScriptedBody;

/// How a request is ended from outside.
#[derive(Clone, Copy, Debug)]
enum End {
    Completes,
    /// The response future is dropped after this many polls.
    Dropped(usize),
}

async fn reads_until_error(request: Request) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(http::Response::default())
}

async fn hands_the_body_to_a_task(
    request: Request,
) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    tokio::spawn(async move { request.into_body().collect().await.map(|_| ()) });
    Ok(http::Response::default())
}

async fn panics_midway(request: Request) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    let _first = request.into_body().frame().await;
    std::panic::resume_unwind(Box::new("a handler that panics"));
}

async fn drops_the_body_and_goes_on(
    request: Request,
) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    let mut body = request.into_body();
    let _first = body.frame().await;
    drop(body);
    tokio::task::yield_now().await;
    Ok(http::Response::default())
}

async fn fails_at_once(_: Request) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    Err("a handler that fails".into())
}

async fn never_answers(request: Request) -> Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError> {
    let _ = request.into_body().collect().await;
    pending().await
}

/// Runs one request to its end and returns when nothing of it is left.
async fn run<F>(
    layer: &StorageGuardLayer,
    handler: impl FnMut(Request) -> F + Clone + Send + 'static,
    body: ScriptedBody,
    end: End,
) where
    F: Future<Output = Result<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError>> + Send + 'static,
{
    let service = layer.layer(service_fn(handler));
    let response = AssertUnwindSafe(service.oneshot(put(body))).catch_unwind();
    match end {
        End::Completes => {
            let _ = response.await;
        }
        End::Dropped(polls) => {
            let mut response = Box::pin(response);
            for _ in 0..polls {
                if futures_util::poll!(&mut response).is_ready() {
                    break;
                }
            }
        }
    }
    // Tasks that were left behind.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn assert_all_back(disk: &FakeResource, what: &str) {
    let before = disk.report();
    assert_eq!(before.held, 0, "{what}: held by nobody");
    let report = disk.sample();
    assert_eq!(
        report.headroom, FREE as i64,
        "{what}: headroom is the reading less the floor"
    );
    assert_eq!((report.held, report.unseen), (0, 0), "{what}");
}

#[tokio::test]
async fn every_way_a_request_can_end_gives_every_byte_back() {
    let frames = |count: usize| (0..count).fold(ScriptedBody::new(), |body, _| body.data(MIB / 2).pause());
    let bodies: [(&str, Ending); 6] = [
        ("data to the end", |body| body),
        ("trailers", ScriptedBody::trailers),
        ("a body error", |body| body.error("reset")),
        ("a body that hangs", ScriptedBody::hang),
        ("a length that is true", |body| body.telling_length(15 * MIB as u64)),
        ("a length that is a lie", |body| body.telling_length(3 * MIB as u64)),
    ];
    for write_buffer in [
        WriteBuffer::Bytes(0),
        WriteBuffer::Bytes(2 * MIB as u64),
        WriteBuffer::Whole,
    ] {
        let disk = FakeResource::new(2 * FREE, FREE);
        let layer = guarding(disk.resource()).write_buffer(write_buffer).build().unwrap();
        for (name, ending) in bodies {
            let body = || ending(frames(30));
            for polls in (0..70).step_by(7) {
                let end = End::Dropped(polls);
                run(&layer, reads_until_error, body(), end).await;
                assert_all_back(&disk, &format!("{name}, dropped after {polls} polls, {write_buffer:?}"));
                run(&layer, drops_the_body_and_goes_on, body(), end).await;
                assert_all_back(&disk, &format!("{name}, body dropped, then future after {polls}"));
                run(&layer, never_answers, body(), end).await;
                assert_all_back(&disk, &format!("{name}, no answer, dropped after {polls}"));
            }
            run(&layer, panics_midway, body(), End::Completes).await;
            assert_all_back(&disk, &format!("{name}, panic"));
            run(&layer, fails_at_once, body(), End::Completes).await;
            assert_all_back(&disk, &format!("{name}, error at once"));
            run(&layer, drops_the_body_and_goes_on, body(), End::Completes).await;
            assert_all_back(&disk, &format!("{name}, body dropped first"));
            if name != "a body that hangs" {
                run(&layer, reads_until_error, body(), End::Completes).await;
                assert_all_back(&disk, &format!("{name}, complete"));
                run(&layer, hands_the_body_to_a_task, body(), End::Completes).await;
                assert_all_back(&disk, &format!("{name}, answered before the body was read"));
            }
        }
    }
}

/// A gRPC stream answers before it has read: the hold lasts as long as the body.
#[tokio::test]
async fn a_hold_outlives_the_response_while_the_body_lives() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let service = layer.layer(service_fn(move |request: Request| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(http::Response::new(zeros(0))) }
    }));
    let response = service
        .oneshot(put(ScriptedBody::new().data(600).telling_length(600)))
        .await
        .unwrap();
    assert!(response.status().is_success());
    let body = receiver.recv().await.unwrap();
    assert_eq!(disk.sample().held, 600, "the body is alive");
    drop(body);
    assert_eq!(disk.report().held, 0);
}

/// The other way round: a handler that flushes after the last frame.
#[tokio::test]
async fn a_hold_outlives_the_body_while_the_response_is_due() {
    let disk = disk(1000);
    let layer = guarding(disk.resource())
        .write_buffer(WriteBuffer::Whole)
        .build()
        .unwrap();
    let service = layer.layer(service_fn(never_answers));
    let mut response = pin!(service.oneshot(put(ScriptedBody::new().data(600).telling_length(600))));
    for _ in 0..5 {
        assert!(futures_util::poll!(&mut response).is_pending());
    }
    assert_eq!(disk.sample().held, 600, "the handler may be writing still");
}

/// Nothing can have been written of a body that was never asked for: it is given back at once, without a sample.
#[tokio::test]
async fn an_unread_body_is_refunded_at_once() {
    let disk = disk(1000);
    let service = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    for _ in 0..10 {
        assert!(status(&service, zeros(900)).await.is_success());
    }
    assert_eq!(disk.report().headroom, 1000);
}

/// One that was read is held until the probe has had a chance to see it.
#[tokio::test]
async fn a_read_body_is_held_until_the_next_sample() {
    let disk = disk(1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert!(status(&service, zeros(900)).await.is_success());
    let report = disk.report();
    assert_eq!((report.headroom, report.held, report.unseen), (100, 0, 900));
    assert_eq!(status(&service, zeros(900)).await, 507);
    disk.probe().set_available(100);
    assert_eq!(disk.sample().headroom, 100, "seen as used, and no longer as held");
}

/// Dropped between frames, with early closing: what was closed is not given back twice.
#[tokio::test]
async fn an_aborted_upload_is_counted_once() {
    let disk = FakeResource::new(2 * FREE, FREE);
    let layer = guarding(disk.resource())
        .write_buffer(WriteBuffer::Bytes(0))
        .build()
        .unwrap();
    let body = (0..50)
        .fold(ScriptedBody::new(), |body, _| body.data(MIB).pause())
        .telling_length(50 * MIB as u64);
    let service = layer.layer(service_fn(reads_until_error));
    let mut response = Box::pin(service.oneshot(put(body)));
    for _ in 0..21 {
        assert!(futures_util::poll!(&mut response).is_pending());
    }
    // Twenty frames were asked for beyond; the disk shows what was written of them.
    let report = disk.report();
    let (held, unseen) = (report.held, report.unseen);
    assert_eq!(held + unseen, 50 * MIB as u64);
    assert!((19 * MIB as u64..=21 * MIB as u64).contains(&unseen), "{unseen}");
    disk.probe().set_available(FREE - unseen);
    let report = disk.sample();
    assert_eq!(
        report.headroom,
        (FREE - unseen - held) as i64,
        "written or held, never both"
    );
    drop(response);
    disk.probe().set_available(FREE);
    assert_eq!(disk.sample().headroom, FREE as i64);
}

/// The inner service refuses to be called before it is ready; the guard calls the one that it made ready.
#[tokio::test]
async fn calls_the_service_that_is_ready() {
    struct Picky(bool);
    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Request> for Picky {
        type Response = http::Response<http_body_util::Full<bytes::Bytes>>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Self::Response, BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called before it was ready");
            std::future::ready(Ok(http::Response::default()))
        }
    }
    let service = guarding(disk(1000).resource()).build().unwrap().layer(Picky(false));
    for _ in 0..3 {
        assert!(
            service
                .clone()
                .oneshot(put(chunks(&[1])))
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
}

/// A refusal does not use up what the inner service made ready: a permit goes back.
#[tokio::test]
async fn a_refusal_releases_an_inner_permit() {
    let layer = guarding(disk(10).resource()).build().unwrap();
    let limited = tower::limit::ConcurrencyLimit::new(service_fn(reads_all), 1);
    let mut service = layer.layer(limited);
    for _ in 0..3 {
        let ready = poll_fn(|context| Service::<http::Request<ScriptedBody>>::poll_ready(&mut service, context));
        ready.await.unwrap();
        let refused = service.call(put(chunks(&[1]).telling_length(600))).await.unwrap();
        assert_eq!(refused.status(), 507);
    }
    let admitted = service.ready().await.unwrap().call(put(chunks(&[5]))).await.unwrap();
    assert!(admitted.status().is_success());
}

/// After it was cut off a body is at its end and wakes nobody.
#[test]
fn a_body_that_was_cut_off_is_at_its_end() {
    let disk = disk(100);
    let layer = guarding(disk.resource()).build().unwrap();
    let mut service = layer.layer(service_fn(|request: Request| async move {
        let mut body = request.into_body();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = || Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(poll(), Poll::Ready(Some(Ok(_)))));
        let Poll::Ready(Some(Err(error))) = poll() else {
            panic!("cut off")
        };
        let _: &BodyError = &error;
        assert!(error.refusal().is_some());
        assert!(matches!(poll(), Poll::Ready(None)));
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        Ok::<_, BoxError>(http::Response::new(zeros(0)))
    }));
    let response = service
        .call(put(chunks(&[60, 60]).hang()))
        .now_or_never()
        .expect("ready")
        .unwrap();
    assert_eq!(response.status(), 507);
}

#[tokio::test]
async fn finished_future_holds_nothing() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let mut service = layer.layer(service_fn(reads_all));
    let mut response = pin!(service.call(put(zeros(600))));
    assert!(futures_util::poll!(response.as_mut()).is_ready());
    let report = disk.report();
    assert_eq!((report.held, report.unseen), (0, 600));
}
