//! When nobody knows how much room there is.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tower::{Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Event, FailurePolicy, Fallback, Floor, ProbeError, Reading, Reason, Resource,
    test_util::{FakeProbe, FakeResource},
};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

fn resource(policy: FailurePolicy, events: &Arc<Mutex<Vec<String>>>) -> FakeResource {
    let events = events.clone();
    FakeResource::with(Reading::new(1000, 500), move |builder| {
        builder
            .on_probe_failure(policy)
            .max_age(10 * SECOND)
            .observer(move |event: &Event<'_>| {
                let word = match event {
                    Event::ProbeFailed { error, .. } => {
                        format!("failed: {:?}", error.downcast_ref::<ProbeError>().map(ProbeError::kind))
                    }
                    Event::ProbeSilent { .. } => "silent".to_owned(),
                    Event::ProbeRecovered { .. } => "recovered".to_owned(),
                    other => format!("{other:?}"),
                };
                events.lock().unwrap().push(word);
            })
    })
}

#[tokio::test]
async fn closed_refuses_with_503_and_open_lets_through() {
    for (policy, fits, too_large) in [(FailurePolicy::Closed, 503, 413), (FailurePolicy::Open, 200, 413)] {
        let events = Arc::default();
        let disk = resource(policy, &events);
        let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
        disk.probe().fail("no answer");
        let report = disk.sample();
        assert!(!report.measured);
        assert!(report.error.unwrap().contains("no answer"));
        for bytes in [1, 600] {
            let response = service.clone().oneshot(put(zeros(bytes))).await.unwrap();
            assert_eq!(response.status(), fits);
            assert_eq!(reason(&response), (fits == 503).then_some(Reason::Unmeasured));
            assert_eq!(response.headers().contains_key("retry-after"), fits == 503);
        }
        assert_eq!(status(&service, zeros(1001)).await, too_large);
        disk.sample();
        disk.probe().set_available(500);
        disk.sample();
        assert!(status(&service, zeros(400)).await.is_success());
        assert_eq!(
            *events.lock().unwrap(),
            ["failed: Some(Custom)", "recovered"],
            "told once"
        );
    }
}

#[tokio::test]
async fn how_old_a_reading_may_be_can_change() {
    let disk = resource(FailurePolicy::Closed, &Arc::default());
    let resource = disk.resource();
    let service = guarding(resource.clone())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    disk.clock().advance(30 * SECOND);
    resource.check_age();
    for (max_age, expected) in [(29, 503), (30, 200)] {
        resource
            .reconfigure(resource.settings().max_age(max_age * SECOND))
            .unwrap();
        assert_eq!(status(&service, zeros(1)).await, expected, "{max_age} s");
    }
}

/// What was let through while nobody knew is in the account when readings come again.
#[tokio::test]
async fn an_open_failure_keeps_the_books() {
    let disk = resource(FailurePolicy::Open, &Arc::default());
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    disk.probe().fail("no answer");
    disk.sample();
    for _ in 0..3 {
        assert!(status(&service, zeros(400)).await.is_success());
    }
    assert_eq!(disk.report().headroom, 500 - 1200);
    disk.probe().set_available(100);
    assert_eq!(disk.sample().headroom, 100);
}

#[tokio::test]
async fn hold_goes_on_with_the_last_account_for_a_while() {
    for (then, at_last) in [(Fallback::Closed, 503), (Fallback::Open, 200)] {
        let policy = FailurePolicy::Hold {
            at_most: 30 * SECOND,
            then,
        };
        let disk = resource(policy, &Arc::default());
        let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
        disk.probe().fail("no answer");
        disk.sample();
        assert!(status(&service, zeros(300)).await.is_success());
        disk.clock().advance(29 * SECOND);
        disk.sample();
        assert!(status(&service, zeros(200)).await.is_success());
        assert_eq!(status(&service, zeros(1)).await, 507, "a stale account drains itself");
        disk.clock().advance(SECOND);
        disk.resource().check_age();
        assert_eq!(status(&service, zeros(1)).await, at_last);
    }
}

#[tokio::test]
async fn a_reading_that_grows_too_old_is_a_failure() {
    let events = Arc::default();
    let disk = resource(FailurePolicy::Closed, &events);
    let service = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    disk.clock().advance(10 * SECOND);
    disk.resource().check_age();
    assert_eq!(status(&service, zeros(1)).await, 200);
    disk.clock().advance(SECOND);
    disk.resource().check_age();
    assert_eq!(status(&service, zeros(1)).await, 503);
    disk.resource().check_age();
    disk.sample();
    assert_eq!(status(&service, zeros(1)).await, 200);
    // A reading that was old when it was handed over does not help.
    disk.clock().advance(60 * SECOND);
    disk.resource().check_age();
    disk.probe().set(Reading::new(1000, 500).with_age(20 * SECOND));
    disk.sample();
    assert_eq!(status(&service, zeros(1)).await, 503);
    assert_eq!(*events.lock().unwrap(), ["silent", "recovered", "silent"]);
}

#[tokio::test]
async fn a_probe_that_panics_is_reported_and_not_fatal() {
    let events = Arc::default();
    let disk = resource(FailurePolicy::Closed, &events);
    disk.probe().panic("out of luck");
    assert!(disk.sample().error.unwrap().contains("out of luck"));
    disk.probe().set_available(700);
    assert_eq!(disk.sample().headroom, 700);
    assert_eq!(*events.lock().unwrap(), ["failed: Some(Panicked)", "recovered"]);
}

/// With the real sampler thread and the real watchdog: a probe that hangs stops no request, and its policy takes effect.
#[tokio::test]
async fn a_probe_that_hangs_stops_nobody() {
    let probe = FakeProbe::new(Reading::new(1000, 500));
    let (sender, events) = mpsc::channel();
    let sender = Mutex::new(sender);
    let resource = Resource::builder("hangs", probe.clone())
        .floor(Floor::NONE)
        .interval(Duration::from_millis(10))
        .max_age(Duration::from_millis(100))
        .on_probe_failure(FailurePolicy::Closed)
        .observer(move |event: &Event<'_>| {
            let word = match event {
                Event::ProbeSilent { .. } => "silent",
                Event::ProbeRecovered { .. } => "recovered",
                _ => return,
            };
            let _ = sender.lock().unwrap().send(word);
        })
        .build()
        .unwrap();
    let service = guarding(resource.clone())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    probe.hang();
    // Answered on this one thread, which nothing blocks: the sampler hangs on its own.
    assert_eq!(status(&service, zeros(1)).await, 200);
    assert_eq!(events.recv().unwrap(), "silent");
    assert_eq!(status(&service, zeros(1)).await, 503);
    assert!(resource.report().error.is_none(), "it did not fail, it is silent");
    let outstanding = probe.measurements();
    resource.kick();
    assert_eq!(status(&service, zeros(1)).await, 503);
    assert_eq!(probe.measurements(), outstanding, "never a second one");
    probe.set_available(500);
    assert_eq!(events.recv().unwrap(), "recovered");
    assert_eq!(status(&service, zeros(1)).await, 200);
}

#[test]
fn the_thread_ends_with_the_last_handle() {
    let probe = FakeProbe::new(Reading::new(1000, 500));
    let (alive, gone) = mpsc::channel::<()>();
    let mut inner = probe.clone();
    let resource = Resource::builder("ends", move || {
        let _with_the_probe = &alive;
        tower_storage_guard::CapacityProbe::measure(&mut inner)
    })
    .build()
    .unwrap();
    let layer = guarding(resource.clone()).build().unwrap();
    drop(resource);
    assert!(
        matches!(gone.try_recv(), Err(mpsc::TryRecvError::Empty)),
        "the layer has a handle"
    );
    drop(layer);
    assert!(gone.recv().is_err(), "the probe, and with it its sender, is gone");
}

/// A measurement that fails does not make held again what finished requests have left to be seen.
#[tokio::test]
async fn what_is_unseen_stays_so_while_the_probe_fails() {
    let disk = disk(1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert!(status(&service, zeros(900)).await.is_success());
    disk.probe().fail("no answer");
    for _ in 0..2 {
        let report = disk.sample();
        assert_eq!((report.headroom, report.held, report.unseen), (100, 0, 900));
    }
    disk.probe().set_available(100);
    let report = disk.sample();
    assert_eq!((report.headroom, report.held, report.unseen), (100, 0, 0));
}
