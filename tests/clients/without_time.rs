//! Lingering needs a Tokio runtime, and nothing of it but its tasks.

use std::{
    convert::Infallible,
    panic,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
};

use axum::body::Bytes;
use http::{Request, Response, header::CONNECTION};
use http_body::{Body, Frame};
use http_body_util::Empty;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_storage_guard::{Guarded, ResponseBody, StorageGuardLayer, test_util::FakeResource};

#[test]
fn without_a_runtime_the_body_is_dropped() {
    let layer = layer();
    let (answer, body) = refuse(&layer);
    assert_eq!(answer.status(), 507);
    assert_eq!(answer.headers().get(CONNECTION).unwrap(), "close");
    drop(answer);
    assert!(is_gone(&body));
}

#[test]
fn so_it_is_when_the_runtime_is_gone() {
    let runtime = without_time();
    let layer = layer();
    let (answer, body) = runtime.block_on(async { refuse(&layer) });
    drop(runtime);
    assert!(!is_gone(&body));
    drop(answer);
    assert!(is_gone(&body));
}

/// A program built with `panic = "abort"` dies of a panic even where it would be caught.
#[test]
fn a_runtime_without_time_lingers_and_never_panics() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, this_thread) = (panics.clone(), thread::current().id());
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == this_thread {
            count.fetch_add(1, Relaxed);
        }
        usual(info);
    }));
    without_time().block_on(async {
        let layer = layer();
        for _ in 0..3 {
            let (answer, body) = refuse(&layer);
            assert_eq!(answer.status(), 507);
            assert_eq!(answer.headers().get(CONNECTION).unwrap(), "close");
            drop(answer);
            tokio::task::yield_now().await;
            assert!(!is_gone(&body));
        }
        // It is let go when its time is up.
        let (answer, body) = refuse(&layer);
        drop(answer);
        while !is_gone(&body) {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(panics.load(Relaxed), 0);
}

fn without_time() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn layer() -> StorageGuardLayer {
    let disk = FakeResource::new(1 << 40, 1 << 20);
    StorageGuardLayer::builder().resource(disk.resource()).build().unwrap()
}

type Answer = Response<ResponseBody<Empty<Bytes>>>;

/// The answer, and something that tells whether the body is still there.
fn refuse(layer: &StorageGuardLayer) -> (Answer, Arc<()>) {
    let body = Arc::new(());
    let service = layer.layer(service_fn(async |_: Request<Guarded<Endless>>| {
        Ok::<_, Infallible>(Response::new(Empty::new()))
    }));
    let request = Request::put("/")
        .header("content-length", 1 << 30)
        .body(Endless(body.clone()));
    let answer = pin!(service.oneshot(request.unwrap()));
    match answer.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(answer)) => (answer, body),
        Poll::Pending => panic!("a refusal waits for nothing"),
    }
}

fn is_gone(body: &Arc<()>) -> bool {
    Arc::strong_count(body) == 1
}

/// Never comes.
struct Endless(#[expect(dead_code, reason = "dropped with the body")] Arc<()>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
