//! A tenant over its limit, and what it is told.

use http::{
    HeaderValue, Method,
    header::{ACCEPT, RETRY_AFTER},
};
use http_body_util::{BodyExt, Empty};
use tower_storage_guard::{Protocol, Reason, Refusal, test_util::FakeResource};

use crate::support::*;

#[tokio::test]
async fn over_the_limit_is_507_and_larger_than_all_of_it_413() {
    let ledger = ledger(1000);
    let guard = charging(&ledger).build().unwrap();
    assert_eq!(told(&send(&guard, put(900)).await), (200, None));
    let response = send(&guard, put(101)).await;
    assert_eq!(told(&response), (507, Some(Reason::Quota)));
    assert!(!response.headers().contains_key(RETRY_AFTER), "waiting does not help");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains(r#""reason":"quota""#) && !text.contains("900") && !text.contains("1000"),
        "{text}"
    );
    assert_eq!(told(&send(&guard, put(1001)).await), (413, Some(Reason::ExceedsQuota)));
    // Others go on.
    let mut other = put(1000);
    other.headers_mut().insert(TENANT, HeaderValue::from_static("u"));
    assert_eq!(told(&send(&guard, other).await), (200, None));
}

#[tokio::test]
async fn protocols_have_words_for_it() {
    let ledger = ledger(10);
    for (protocol, status, words) in [
        (Protocol::WebDav, 507, "<D:quota-not-exceeded/>"),
        (Protocol::S3, 507, "QuotaExceeded"),
        (Protocol::Oci, 507, "DENIED"),
    ] {
        let guard = charging(&ledger).protocol(protocol).build().unwrap();
        ledger.charge("t", 10);
        let response = send(&guard, put(5)).await;
        assert_eq!(response.status(), status);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&text).contains(words), "{protocol:?}: {text:?}");
    }
    let guard = charging(&ledger).build().unwrap();
    let mut page = put(5);
    page.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/html"));
    let text = send(&guard, page).await.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("quota is used up"), "{text:?}");
}

#[tokio::test]
async fn tenant_and_disk_are_charged_all_or_none() {
    let (ledger, disk) = (ledger(1000), FakeResource::new(5000, 300));
    let guard = charging(&ledger).resource(disk.resource()).build().unwrap();
    // The disk refuses: the tenant keeps nothing reserved.
    assert_eq!(told(&send(&guard, put(400)).await), (507, Some(Reason::Space)));
    assert_eq!(usage(&ledger), (0, 0));
    assert_eq!(told(&send(&guard, put(200)).await), (200, None));
    assert_eq!((usage(&ledger), disk.report().headroom), ((200, 0), 100));
    // The tenant refuses: neither does the disk.
    ledger.charge("t", 750);
    assert_eq!(told(&send(&guard, put(60)).await), (507, Some(Reason::Quota)));
    assert_eq!(disk.report().headroom, 100);
    // For good because of the disk, though for now because of the tenant.
    assert_eq!(
        told(&send(&guard, put(5001)).await),
        (413, Some(Reason::ExceedsCapacity))
    );
}

#[tokio::test]
async fn creating_something_needs_a_tenant_that_is_not_over_its_limit() {
    let ledger = ledger(100);
    let guard = charging(&ledger).minimum_charge(10).build().unwrap();
    let make = || request(Method::from_bytes(b"MKCOL").unwrap(), "/201/10", Empty::new());
    for used in 1..=10 {
        assert_eq!(told(&send(&guard, make()).await), (201, None));
        assert_eq!(usage(&ledger), (used * 10, 0));
    }
    let response = send(&guard, make()).await;
    assert_eq!(told(&response), (507, Some(Reason::Quota)));
    assert_eq!(response.extensions().get::<Refusal>().unwrap().requested(), Some(10));
}
