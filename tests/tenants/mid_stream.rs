//! Bodies of unknown length.

use http::Method;
use tower_storage_guard::{Reason, Refusal, test_util::FakeResource};

use crate::support::*;

#[tokio::test]
async fn a_body_that_outgrows_the_limit_is_cut_off_and_leaves_nothing() {
    let (ledger, disk) = (ledger(100_000), FakeResource::new(10_000_000, 1_000_000));
    let guard = charging(&ledger).resource(disk.resource()).build().unwrap();
    ledger.charge("t", 40_000);
    let response = send(&guard, request(Method::PUT, "/", chunks(&[20_000; 4]))).await;
    assert_eq!(told(&response), (507, Some(Reason::Quota)));
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert!(refusal.is_mid_stream());
    assert_eq!((refusal.resource(), refusal.tenant()), (Some("quota"), Some("t")));
    assert_eq!(usage(&ledger), (40_000, 0));
    let response = send(&guard, request(Method::PUT, "/", chunks(&[20_000; 3]))).await;
    assert_eq!(told(&response), (200, None));
    assert_eq!(usage(&ledger), (100_000, 0));
    let response = send(&guard, request(Method::PUT, "/", chunks(&[20_000; 6]))).await;
    assert_eq!(
        told(&response),
        (507, Some(Reason::Quota)),
        "the first frame is refused already"
    );
}

#[tokio::test]
async fn a_body_larger_than_the_whole_limit_is_413() {
    let ledger = ledger(100_000);
    let guard = charging(&ledger).build().unwrap();
    let response = send(&guard, request(Method::PUT, "/", chunks(&[60_000, 60_000]))).await;
    let (status, reason) = told(&response);
    assert_eq!((status, reason), (413, Some(Reason::ExceedsQuota)));
    assert_eq!(usage(&ledger), (0, 0));
}

#[tokio::test]
async fn a_disk_that_refuses_leaves_no_charge() {
    let (ledger, disk) = (ledger(100_000), FakeResource::new(10_000_000, 30_000));
    let guard = charging(&ledger).resource(disk.resource()).build().unwrap();
    let response = send(&guard, request(Method::PUT, "/", chunks(&[20_000; 2]))).await;
    assert_eq!(told(&response), (507, Some(Reason::Space)));
    assert_eq!(usage(&ledger), (0, 0));
}
