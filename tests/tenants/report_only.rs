//! Refuses nothing, and counts all the same.

use std::sync::{Arc, Mutex};

use http::Method;
use tower_storage_guard::{Event, Reason, test_util::FakeResource};

use crate::support::*;

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
