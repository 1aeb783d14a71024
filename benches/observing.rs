//! What being observed costs a request: `cargo bench --bench observing`
//!
//! The same service bare, guarded, and guarded with everything on: events for `tracing` with a subscriber, all figures
//! published through `metrics` to a recorder every second, and a thread that asks for the page, the JSON and the text
//! without a pause. All take turns in one run, so that whatever else the machine does falls on all alike; what counts are
//! the ratios.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use metrics_util::debugging::DebuggingRecorder;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{
    Guarded, Monitor, StatusService, StorageGuardLayer, TracingObserver, test_util::FakeResource,
};

const ROUNDS: usize = 301;
const REQUESTS: u32 = 2000;

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::sink).init();
    DebuggingRecorder::new().install().expect("the first recorder");

    println!("{ROUNDS} rounds of {REQUESTS} requests each, in turn; medians");
    compare("admitted", 1 << 10, u64::MAX >> 4);
    compare("refused", 1 << 10, 0);
}

fn compare(what: &str, bytes: usize, available: u64) {
    let plain_disk = FakeResource::new(u64::MAX >> 3, available);
    let plain = StorageGuardLayer::builder()
        .resource(plain_disk.resource())
        .build()
        .expect("valid");

    let log = TracingObserver::new();
    let disk = FakeResource::with(tower_storage_guard::Reading::new(u64::MAX >> 3, available), |builder| {
        builder.floor(tower_storage_guard::Floor::NONE).observer(log.clone())
    });
    let observed = StorageGuardLayer::builder()
        .resource(disk.resource())
        .observer(log)
        .build()
        .expect("valid");
    let monitor = Monitor::builder()
        .layer("bench", &observed)
        .publish_metrics()
        .build()
        .expect("valid");

    let done = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let reader = thread::spawn({
        let (done, asked, status) = (done.clone(), asked.clone(), StatusService::new(monitor));
        move || {
            for format in ["html", "json", "text"].iter().cycle() {
                if done.load(Relaxed) {
                    return;
                }
                let request = Request::get(format!("/?format={format}")).body(()).expect("a request");
                drop(black_box(status.clone().call(request)));
                asked.fetch_add(1, Relaxed);
                // As fast as an eager crowd of browsers, and not so fast that the two fight for a core.
                thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    });

    let mut bare = service_fn(take);
    let mut plain_service = plain.layer(service_fn(read));
    let mut observed_service = observed.layer(service_fn(read));
    let (mut bare_times, mut plain_times, mut observed_times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare_times.push(time(&mut bare, bytes));
        // Each goes first as often as the other.
        if round % 2 == 0 {
            plain_times.push(time(&mut plain_service, bytes));
            observed_times.push(time(&mut observed_service, bytes));
        } else {
            observed_times.push(time(&mut observed_service, bytes));
            plain_times.push(time(&mut plain_service, bytes));
        }
        plain_disk.sample();
        disk.sample();
    }
    done.store(true, Relaxed);
    reader.join().expect("it ends");

    let ratios: Vec<_> = observed_times
        .iter()
        .zip(&plain_times)
        .map(|(observed, plain)| observed / plain)
        .collect();
    println!(
        "{what}: bare service {:.0} ns, guarded {:.0} ns, guarded and observed {:.0} ns a request; observed / guarded \
         {:.3} (middle half {:.3} to {:.3}); the status was asked for {} times meanwhile",
        quantile(&bare_times, 0.5),
        quantile(&plain_times, 0.5),
        quantile(&observed_times, 0.5),
        quantile(&ratios, 0.5),
        quantile(&ratios, 0.25),
        quantile(&ratios, 0.75),
        asked.load(Relaxed),
    );
}

type Reply = Ready<Result<Response<Full<Bytes>>, Infallible>>;

fn take(request: Request<Full<Bytes>>) -> Reply {
    drain(request.into_body());
    ready(Ok(Response::new(Full::default())))
}

fn read(request: Request<Guarded<Full<Bytes>>>) -> Reply {
    drain(request.into_body());
    ready(Ok(Response::new(Full::default())))
}

fn drain(mut body: impl Body + Unpin) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(&mut context) {}
}

/// Nanoseconds a request.
fn time<S, R>(service: &mut S, bytes: usize) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
{
    static CONTENT: [u8; 4096] = [7; 4096];
    let body = Full::new(Bytes::from_static(&CONTENT[..bytes]));
    let mut context = Context::from_waker(Waker::noop());
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let mut request = Request::new(body.clone());
        *request.method_mut() = http::Method::PUT;
        let mut future = std::pin::pin!(service.call(request));
        assert!(black_box(future.as_mut().poll(&mut context)).is_ready());
    }
    start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
