//! Refuses nothing, and counts all the same.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Event, Guarded, Ledger, Reason, StorageGuardBuilder, StorageGuardLayer, test_util::FakeResource,
};

use crate::support::*;

/// Each request is one refusal or one admission, whatever else would have refused it.
#[tokio::test]
async fn each_request_is_counted_once() {
    let (ledger, disk) = (ledger(100), FakeResource::new(5000, 60));
    let guard = charging(&ledger)
        .resource(disk.resource())
        .max_body(120)
        .report_only(true)
        .build()
        .unwrap();
    // Too large for a body, for the tenant and for the disk; for the latter two; for the tenant's quota, that those have used up, and the disk; for the quota.
    for bytes in [121, 110, 90, 5] {
        assert_eq!(told(&send(&guard, put(bytes)).await), (200, None));
    }
    let report = guard.report();
    let counts: Vec<_> = report
        .would_be_refused
        .by_reason()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        counts,
        [(Reason::TooLarge, 1), (Reason::Quota, 2), (Reason::ExceedsQuota, 1)]
    );
    assert_eq!((report.admitted, report.refused.total()), (0, 0));
    assert_eq!(usage(&ledger), (121 + 110 + 90 + 5, 0));
    assert_eq!(
        disk.report().headroom,
        60,
        "what would be refused takes nothing from the others"
    );
    ledger.credit("t", 326);
    assert_eq!(told(&send(&guard, put(5)).await), (200, None));
    assert_eq!(guard.report().admitted, 1);
}

#[tokio::test]
async fn what_would_be_refused_is_told_and_charged() {
    let (ledger, disk) = (ledger(100), FakeResource::new(5000, 300));
    let told_of = Arc::new(Mutex::new(Vec::new()));
    let events = told_of.clone();
    let guard = charging(&ledger)
        .resource(disk.resource())
        .report_only(true)
        .observer(move |event: &Event<'_>| {
            if let Event::Refused { refusal, enforced, .. } = event {
                events.lock().unwrap().push((refusal.reason(), *enforced));
            }
        })
        .build()
        .unwrap();
    let mut used = 0;
    for (bytes, reason) in [(90, None), (20, Some(Reason::Quota)), (101, Some(Reason::ExceedsQuota))] {
        assert_eq!(told(&send(&guard, put(bytes)).await), (200, None));
        used += bytes as u64;
        assert_eq!(usage(&ledger), (used, 0));
        let last = told_of.lock().unwrap().pop();
        assert_eq!(last, reason.map(|reason| (reason, false)));
    }
    ledger.credit("t", used);
    // The disk would refuse, the tenant not.
    disk.probe().set_available(0);
    disk.sample();
    assert_eq!(told(&send(&guard, put(50)).await), (200, None));
    assert_eq!(told_of.lock().unwrap().pop(), Some((Reason::Space, false)));
    assert_eq!(usage(&ledger), (50, 0));
    // As it comes.
    disk.probe().set_available(3000);
    for _ in 0..3 {
        disk.sample();
    }
    assert_eq!(
        told(&send(&guard, request(Method::PUT, "/", chunks(&[40, 40]))).await),
        (200, None)
    );
    assert_eq!(told_of.lock().unwrap().pop(), Some((Reason::Quota, false)));
    assert_eq!(usage(&ledger), (130, 0));
}

/// Also what would be refused for its missing length.
#[tokio::test]
async fn a_missing_length_is_told_and_what_comes_is_charged() {
    let ledger = ledger(1000);
    tells_of_a_missing_length(charging(&ledger), &ledger).await;
}

/// Told once, also where the body that comes finds no room.
#[tokio::test]
async fn what_was_told_at_the_beginning_is_not_told_again_as_it_comes() {
    let (ledger, disk) = (ledger(1000), FakeResource::new(1000, 20));
    tells_of_a_missing_length(charging(&ledger).resource(disk.resource()), &ledger).await;
    let report = disk.report();
    assert_eq!(
        (report.held, report.unseen),
        (0, 0),
        "what it takes shows when it is measured"
    );
}

/// A body that does not tell its length passes and is charged, and that is all that is told.
async fn tells_of_a_missing_length(builder: StorageGuardBuilder, ledger: &Ledger) {
    let guard = builder.require_length(true).report_only(true).build().unwrap();
    let response = send(&guard, request(Method::PUT, "/", chunks(&[40, 40]))).await;
    assert_eq!(told(&response), (200, None));
    assert_eq!(usage(ledger), (80, 0));
    assert_eq!(would_be_refused(&guard), [(Reason::LengthRequired, 1)]);
}

/// The reason that is told is the one that a client would get.
#[tokio::test]
async fn of_two_accounts_the_one_that_refuses_for_good_is_told() {
    let (users, organisations) = (ledger(1000), ledger(50));
    users.charge("t", 990);
    let builder = charging(&users).tenant(organisations, tower_storage_guard::TenantFrom::header(TENANT));
    let guard = builder.report_only(true).build().unwrap();
    assert_eq!(told(&send(&guard, put(60)).await), (200, None));
    assert_eq!(would_be_refused(&guard), [(Reason::ExceedsQuota, 1)]);
}

/// The reasons that were counted, and how often.
fn would_be_refused(guard: &StorageGuardLayer) -> Vec<(Reason, u64)> {
    let counts = guard.report().would_be_refused;
    counts.by_reason().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn reported_request_reserves_the_minimum_charge() {
    let ledger = ledger(10);
    let guard = charging(&ledger).minimum_charge(100).report_only(true);
    let in_handler = ledger.clone();
    let handler = move |_: Request<Guarded<Full<Bytes>>>| {
        assert_eq!(usage(&in_handler), (0, 100));
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    };
    let service = guard.build().unwrap().layer(service_fn(handler));
    assert_eq!(service.oneshot(put(5)).await.unwrap().status(), 200);
}
