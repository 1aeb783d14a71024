//! Ledgers that have to ask a store.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_storage_guard::{
    Guarded, Leasing, Ledger, Limit, Reason, StorageGuardLayer,
    test_util::{FakeResource, FakeStore, ManualClock, ScriptedBody},
};

use crate::support::*;

struct World {
    store: FakeStore,
    clock: ManualClock,
    ledger: Ledger,
}

/// A limit of 4 MiB, chunks of 256 KiB.
fn world() -> World {
    let clock = ManualClock::new();
    let store = FakeStore::new().with_clock(&clock);
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(4 << 20))
        .leasing(Leasing::new(store.clone()).node("a").chunk(256 << 10))
        .manual(clock.clone())
        .build()
        .unwrap();
    World { store, clock, ledger }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn only_what_needs_the_store_waits_for_it() {
    let World { store, ledger, .. } = world();
    let guard = charging(&ledger).build().unwrap();
    let mut first = pin!(send(&guard, put(1000)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(ledger.step());
    assert!(matches!(poll(first), Poll::Ready(response) if response.status() == 200));
    let calls = store.calls();
    // The lease covers it: no waiting, no call.
    let Poll::Ready(response) = poll(pin!(send(&guard, put(1000)))) else {
        panic!("waits")
    };
    assert_eq!((told(&response), store.calls()), ((200, None), calls));
    assert_eq!(usage(&ledger), (2000, 0));
}

#[tokio::test]
async fn the_answer_comes_when_the_store_has_spoken() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).build().unwrap();
    ledger.scan("t").wait().unwrap().reconcile(4 << 20);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut over = pin!(send(&guard, put(10)));
    assert!(over.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while ledger.step() {}
    assert_eq!(woken.0.load(Relaxed), 1);
    let Poll::Ready(response) = over.poll(&mut Context::from_waker(&waker)) else {
        panic!("waits")
    };
    assert_eq!(told(&response), (507, Some(Reason::Quota)));
    let mut never = pin!(send(&guard, put((4 << 20) + 1)));
    assert!(poll(never.as_mut()).is_pending());
    while ledger.step() {}
    assert!(matches!(poll(never), Poll::Ready(response) if told(&response) == (413, Some(Reason::ExceedsQuota))));
}

#[tokio::test]
async fn whoever_waits_for_too_long_gets_503_and_whoever_goes_away_leaves_nothing() {
    let World { store, clock, ledger } = world();
    let disk = FakeResource::new(1 << 30, 1 << 20);
    let guard = charging(&ledger).resource(disk.resource()).build().unwrap();
    store.fail("out of order");
    let mut waits = pin!(send(&guard, put(1000)));
    assert!(poll(waits.as_mut()).is_pending());
    ledger.step();
    clock.advance(Duration::from_millis(900));
    ledger.step();
    assert!(poll(waits.as_mut()).is_pending());
    clock.advance(Duration::from_millis(200));
    ledger.step();
    let Poll::Ready(response) = poll(waits) else {
        panic!("waits")
    };
    assert_eq!(told(&response), (503, Some(Reason::Unmeasured)));
    assert!(response.headers().contains_key("retry-after"));

    store.recover();
    clock.advance(Duration::from_secs(2));
    while ledger.step() {}
    // Before the store has answered, and after.
    for steps in [0, 3] {
        let mut gone = Box::pin(send(&guard, put(600_000)));
        assert!(poll(gone.as_mut()).is_pending());
        for _ in 0..steps {
            ledger.step();
        }
        drop(gone);
        while ledger.step() {}
        assert_eq!(usage(&ledger), (0, 0));
    }
    assert_eq!(disk.report().held, 0);
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).build().unwrap();
    let inner = service_fn(|_: Request<Guarded<Full<Bytes>>>| -> Ready<Result<_, Infallible>> {
        ready(Ok(Response::new(Full::<Bytes>::default())))
    });
    // One permit: a clone that is called without it would panic.
    let mut service = guard.layer(ConcurrencyLimit::new(inner, 1));
    let mut waits = Box::pin(service.ready().await.unwrap().call(put(1000)));
    assert!(poll(waits.as_mut()).is_pending());
    // The permit is with the request that waits.
    assert!(poll(pin!(service.ready())).is_pending());
    while ledger.step() {}
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(response)) if response.status() == 200));
    drop(waits);
    assert!(poll(pin!(service.ready())).is_ready());

    let mut refused = pin!(service.ready().await.unwrap().call(put(5 << 20)));
    assert!(poll(refused.as_mut()).is_pending());
    while ledger.step() {}
    assert!(matches!(poll(refused), Poll::Ready(Ok(response)) if response.status() == 413));
    assert!(poll(pin!(service.ready())).is_ready(), "a refusal lets go of it");
}

#[tokio::test]
async fn a_body_of_unknown_length_waits_before_the_next_frame() {
    let World { store, clock, ledger } = world();
    let guard = charging(&ledger).build().unwrap();
    for (frames, outcome) in [
        (vec![100_000; 10], (200, None)),
        (vec![100_000; 30], (200, None)),
        (vec![100_000; 5], (507, Some(Reason::Quota))),
        // What is left is less than a frame.
        (vec![194_305], (507, Some(Reason::Quota))),
        // What is left, to the byte.
        (vec![96_152, 98_152], (200, None)),
        (vec![1], (507, Some(Reason::Quota))),
    ] {
        let mut upload = pin!(send(&guard, request(Method::PUT, "/", chunks(&frames))));
        let mut polls = 0;
        let response = loop {
            if let Poll::Ready(response) = poll(upload.as_mut()) {
                break response;
            }
            polls += 1;
            assert!(polls < 100, "waits for ever");
            clock.advance(Duration::from_millis(1));
            ledger.step();
        };
        assert_eq!(told(&response), outcome, "{} frames", frames.len());
        for _ in 0..4 {
            clock.advance(Duration::from_secs(6));
            while ledger.step() {}
        }
    }
    let record = store.record("t").unwrap();
    assert_eq!(record.used(), 4 << 20);
    assert!(record.nodes.values().all(|node| node.hold == 0));
}

#[tokio::test]
async fn in_report_only_mode_nobody_waits() {
    let World { store, ledger, clock } = world();
    let guard = charging(&ledger).report_only(true).build().unwrap();
    store.fail("out of order");
    for frames in [vec![1000; 3], vec![2 << 20; 3]] {
        let upload = request(Method::PUT, "/", chunks(&frames));
        assert!(matches!(poll(pin!(send(&guard, upload))), Poll::Ready(response) if response.status() == 200));
    }
    assert!(matches!(poll(pin!(send(&guard, put(500)))), Poll::Ready(response) if response.status() == 200));
    // And all of it is told in the end.
    store.recover();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(6));
        while ledger.step() {}
    }
    assert_eq!(store.record("t").unwrap().used(), 3500 + (6 << 20));
}

/// A body that began when nobody was refused waits for the store as soon as somebody may be.
#[tokio::test]
async fn a_body_under_way_waits_when_reports_become_refusals() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).report_only(true).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let hands_on = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    };
    let service = guard.layer(service_fn(hands_on));
    let upload = request(Method::PUT, "/", chunks(&[2 << 20; 4]));
    service.oneshot(upload).await.unwrap();
    let mut body = receiver.recv().unwrap();
    assert!(matches!(poll(pin!(body.frame())), Poll::Ready(Some(Ok(_)))));
    let live = guard.live_settings();
    live.update(|settings| settings.layer = settings.layer.report_only(false))
        .unwrap();
    let mut next = || {
        assert!(
            poll(pin!(body.frame())).is_pending(),
            "nothing is handed on before it is paid for"
        );
        loop {
            assert!(ledger.step(), "the store is asked");
            if let Poll::Ready(frame) = poll(pin!(body.frame())) {
                break frame;
            }
        }
    };
    assert!(matches!(next(), Some(Ok(_))));
    let Some(Err(error)) = next() else {
        panic!("4 MiB are all there is")
    };
    assert!(error.refusal().is_some());
}

/// What a body is paid for and what its tenants are charged is the same, whatever changes while it waits.
#[tokio::test]
async fn a_minimum_raised_while_waiting_is_charged() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).minimum_charge(1000).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let hands_on = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    };
    let service = guard.layer(service_fn(hands_on));
    let mut upload = pin!(service.oneshot(request(Method::PUT, "/", chunks(&[600_000]))));
    assert!(poll(upload.as_mut()).is_pending());
    let live = guard.live_settings();
    live.update(|settings| settings.layer = settings.layer.minimum_charge(1 << 20))
        .unwrap();
    while ledger.step() {}
    assert!(matches!(poll(upload), Poll::Ready(Ok(_))));
    let mut body = receiver.recv().unwrap();
    while !matches!(poll(pin!(body.frame())), Poll::Ready(Some(Ok(_)))) {
        assert!(ledger.step(), "the store is asked");
    }
    assert!(usage(&ledger).1 >= 600_000, "{:?}", usage(&ledger));
}

#[tokio::test]
async fn two_accounts_of_which_one_waits_are_charged_both_or_none() {
    let World { ledger, .. } = world();
    let users = Ledger::builder()
        .name("users")
        .default_limit(Limit::bytes(1000))
        .build()
        .unwrap();
    let key = |_: &http::request::Parts| Some("u".to_owned());
    for waits_first in [true, false] {
        let builder = StorageGuardLayer::builder();
        let builder = if waits_first {
            builder
                .tenant(ledger.clone(), tower_storage_guard::TenantFrom::header(TENANT))
                .tenant(users.clone(), key)
        } else {
            builder
                .tenant(users.clone(), key)
                .tenant(ledger.clone(), tower_storage_guard::TenantFrom::header(TENANT))
        };
        let guard = builder.build().unwrap();
        let used = users.usage("u").used;
        users.charge("u", 1000 - used);
        let mut refused = pin!(send(&guard, put(2000)));
        let outcome = loop {
            match poll(refused.as_mut()) {
                Poll::Ready(response) => break told(&response),
                Poll::Pending => assert!(ledger.step()),
            }
        };
        assert_eq!(outcome, (413, Some(Reason::ExceedsQuota)));
        assert_eq!((usage(&ledger).1, users.usage("u").reserved), (0, 0));
        users.credit("u", 1000);
    }
}

#[tokio::test]
async fn whoever_waits_when_refusals_become_reports_is_charged() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).build().unwrap();
    ledger.scan("t").wait().unwrap().reconcile(4 << 20);
    while ledger.step() {}
    let mut over = pin!(send(&guard, put(1000)));
    assert!(poll(over.as_mut()).is_pending());
    let live = guard.live_settings();
    live.update(|settings| settings.layer = settings.layer.report_only(true))
        .unwrap();
    while ledger.step() {}
    assert!(matches!(poll(over), Poll::Ready(response) if told(&response) == (200, None)));
    assert_eq!(usage(&ledger), ((4 << 20) + 1000, 0));
}

#[tokio::test]
async fn waiting_frame_counts_in_the_size_hint() {
    let World { ledger, .. } = world();
    let guard = charging(&ledger).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let hands_on = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    };
    let upload = request(Method::PUT, "/", chunks(&[1000]));
    guard.layer(service_fn(hands_on)).oneshot(upload).await.unwrap();
    let mut body = receiver.recv().unwrap();
    assert_eq!(body.size_hint().lower(), 0);
    assert!(poll(pin!(body.frame())).is_pending());
    assert_eq!(body.size_hint().lower(), 1000);
    while ledger.step() {}
    assert!(matches!(poll(pin!(body.frame())), Poll::Ready(Some(Ok(_)))));
    assert_eq!(body.size_hint().lower(), 0);
}

/// Other nodes must not be granted what this one has let through.
#[tokio::test]
async fn reported_frames_are_debts_while_they_flow() {
    let World { store, ledger, .. } = world();
    let guard = charging(&ledger).report_only(true).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let hands_on = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    };
    let upload = request(Method::PUT, "/", chunks(&[2 << 20]));
    guard.layer(service_fn(hands_on)).oneshot(upload).await.unwrap();
    let mut body = receiver.recv().unwrap();
    assert!(matches!(poll(pin!(body.frame())), Poll::Ready(Some(Ok(_)))));
    while ledger.step() {}
    let record = store.record("t").unwrap();
    assert!(record.nodes.values().any(|node| node.hold >= 2 << 20), "{record:?}");
}
