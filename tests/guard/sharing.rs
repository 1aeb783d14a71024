//! Several layers on one resource, and several resources in one layer.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::FutureExt;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{Charge, Event, Reading, Reason, State, StorageGuardLayer, test_util::FakeResource};

use crate::support::*;

#[tokio::test]
async fn layers_on_one_resource_add_up() {
    let disk = disk(1000);
    let one = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let other = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert_eq!(status(&one, zeros(600)).await, 200);
    assert_eq!(status(&other, zeros(600)).await, 507);
    assert_eq!(status(&other, zeros(400)).await, 200);
    assert_eq!(disk.report().unseen, 1000);
}

#[tokio::test]
async fn all_resources_or_none() {
    let wide = FakeResource::new(1000, 1000);
    let narrow = FakeResource::new(1000, 100);
    for order in [[&wide, &narrow], [&narrow, &wide]] {
        let layer = guarding(order[0].resource())
            .resource(order[1].resource())
            .build()
            .unwrap();
        let service = layer.layer(service_fn(reads_nothing));
        assert_eq!(status(&service, zeros(101)).await, 507);
        assert_eq!(
            (wide.report().headroom, narrow.report().headroom),
            (1000, 100),
            "rolled back"
        );
        let streaming = layer.layer(service_fn(reads_all));
        assert_eq!(status(&streaming, chunks(&[60, 60])).await, 507);
        let held = (wide.report().unseen, narrow.report().unseen);
        assert_eq!(held.0, held.1, "a frame that does not fit one is taken from none");
        wide.sample();
        narrow.sample();
    }
}

#[tokio::test]
async fn a_resource_may_be_charged_in_part_or_only_gate() {
    let disk = FakeResource::new(1_000_000, 1_000_000);
    let memory = FakeResource::new(1_000_000, 1000);
    let layer = guarding(disk.resource())
        .resource_charged(memory.resource(), Charge::Window(300))
        .build()
        .unwrap();
    let service = layer.layer(service_fn(reads_all));
    assert_eq!(status(&service, zeros(50_000)).await, 200);
    assert_eq!((disk.report().unseen, memory.report().unseen), (50_000, 300));
    assert_eq!(
        status(&layer.layer(service_fn(reads_all)), chunks(&[5000; 20])).await,
        200
    );
    assert_eq!((disk.report().unseen, memory.report().unseen), (150_000, 600));

    let places = FakeResource::new(3, 2);
    let queue = guarding(disk.resource())
        .resource_charged(places.resource(), Charge::Each(1))
        .build()
        .unwrap();
    let service = queue.layer(service_fn(reads_all));
    for expected in [200, 200, 507] {
        assert_eq!(status(&service, zeros(7000)).await, expected, "two places are free");
    }

    disk.sample();
    let gate = guarding(disk.resource())
        .resource_charged(memory.resource(), Charge::Nothing)
        .build()
        .unwrap();
    let service = gate.layer(service_fn(reads_all));
    assert_eq!(status(&service, zeros(50_000)).await, 200);
    assert_eq!(memory.report().unseen, 600);
    memory.force_state(Some(State::Full));
    assert_eq!(status(&service, zeros(1)).await, 507);
}

/// The point of it all: however many ask at once, no more is admitted than fits.
#[test]
fn what_is_admitted_at_once_fits() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 2000;
    let disk = FakeResource::new(1 << 40, 1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let (running, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (layer, running, most, barrier) = (&layer, running.clone(), most.clone(), &barrier);
            scope.spawn(move || {
                let mut service = layer.layer(service_fn(move |request: http::Request<_>| {
                    let (running, most) = (running.clone(), most.clone());
                    let body: tower_storage_guard::Guarded<http_body_util::Full<bytes::Bytes>> = request.into_body();
                    async move {
                        let size = http_body::Body::size_hint(&body).exact().unwrap();
                        most.fetch_max(running.fetch_add(size, Relaxed) + size, Relaxed);
                        std::thread::yield_now();
                        running.fetch_sub(size, Relaxed);
                        // Never polled, so it is given back at once.
                        drop(body);
                        Ok::<_, tower::BoxError>(http::Response::new(zeros(0)))
                    }
                }));
                barrier.wait();
                for round in 0..ROUNDS {
                    let size = 1 + (thread * 131 + round * 17) % 400;
                    let response = service.call(put(zeros(size))).now_or_never().unwrap().unwrap();
                    assert!(matches!(response.status().as_u16(), 200 | 507));
                }
            });
        }
    });
    assert!(most.load(Relaxed) <= 1000, "{} bytes at once", most.load(Relaxed));
    assert_eq!(disk.report().headroom, 1000);
}

#[test]
fn a_transition_is_told_once_with_figures() {
    let told: Arc<std::sync::Mutex<Vec<(State, State, u64)>>> = Arc::default();
    let sink = told.clone();
    let disk = FakeResource::with(Reading::new(10_000, 5000), move |builder| {
        builder.observer(move |event: &Event<'_>| {
            if let Event::StateChanged {
                from, to, available, ..
            } = event
            {
                sink.lock().unwrap().push((*from, *to, *available));
            }
        })
    });
    for available in [450, 460, 450, 0, 1, 0, 1, 0] {
        disk.probe().set_available(available);
        disk.sample();
    }
    let transitions = [(State::Ok, State::Near, 450), (State::Near, State::Full, 0)];
    assert_eq!(*told.lock().unwrap(), transitions);
}

#[tokio::test]
async fn a_plain_body_limit_needs_no_resource() {
    let service = StorageGuardLayer::builder()
        .max_body(10)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    assert_eq!(status(&service, zeros(10)).await, 200);
    assert_eq!(status(&service, zeros(11)).await, 413);
    let streaming = StorageGuardLayer::builder()
        .max_body(10)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    let response = tower::ServiceExt::oneshot(streaming, put(chunks(&[6, 6])))
        .await
        .unwrap();
    assert_eq!(reason(&response), Some(Reason::TooLarge));
}
