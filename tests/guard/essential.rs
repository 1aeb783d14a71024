//! Requests that may use a part of the floor: a full system must still save the lock file that it needs to delete.

use http::{Request, request::Parts};
use tower::{Layer, ServiceExt, service_fn};
use tower_storage_guard::{Floor, Reading, Reason, StorageGuardLayer, test_util::FakeResource};

use crate::support::*;

fn layer(disk: &FakeResource) -> StorageGuardLayer {
    let is_lock = |parts: &Parts| parts.uri.path().starts_with("/locks/");
    guarding(disk.resource()).essential(is_lock).build().unwrap()
}

async fn put_at(layer: &StorageGuardLayer, path: &str, bytes: usize) -> (u16, Option<Reason>) {
    let request = Request::put(path).body(zeros(bytes)).unwrap();
    let response = layer.layer(service_fn(reads_all)).oneshot(request).await.unwrap();
    (response.status().as_u16(), reason(&response))
}

#[tokio::test]
async fn essential_requests_may_use_their_part_of_the_floor_and_no_more() {
    let disk = FakeResource::with(Reading::new(1000, 100), |builder| {
        builder.floor(Floor::bytes(100)).essential_share(Floor::bytes(60))
    });
    let layer = layer(&disk);
    assert_eq!(put_at(&layer, "/data", 1).await, (507, Some(Reason::Space)), "full");
    assert_eq!(put_at(&layer, "/locks/a", 40).await, (200, None));
    assert_eq!(put_at(&layer, "/locks/b", 21).await, (507, Some(Reason::Space)));
    assert_eq!(put_at(&layer, "/locks/c", 20).await, (200, None));
    assert_eq!(put_at(&layer, "/locks/d", 1).await, (507, Some(Reason::Space)));
    let request = Request::put("/locks/e").body(chunks(&[1])).unwrap();
    let streaming = layer.layer(service_fn(reads_all)).oneshot(request).await.unwrap();
    assert_eq!(streaming.status(), 507);
}

#[tokio::test]
async fn a_growing_essential_body_may_go_as_deep() {
    let disk = FakeResource::with(Reading::new(1000, 100), |builder| {
        builder.floor(Floor::bytes(100)).essential_share(Floor::percent(5.0))
    });
    let layer = layer(&disk);
    for (frames, expected) in [(&[30, 20][..], 200), (&[30, 21], 507)] {
        let request = Request::put("/locks/a").body(chunks(frames)).unwrap();
        let response = layer.layer(service_fn(reads_all)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected);
        disk.sample();
    }
}

#[tokio::test]
async fn the_share_is_never_more_than_the_floor_and_nothing_by_default() {
    let generous = FakeResource::with(Reading::new(1000, 100), |builder| {
        builder.floor(Floor::bytes(100)).essential_share(Floor::bytes(5000))
    });
    assert_eq!(put_at(&layer(&generous), "/locks/a", 101).await.0, 507);
    assert_eq!(put_at(&layer(&generous), "/locks/a", 100).await.0, 200);
    let plain = FakeResource::with(Reading::new(1000, 100), |builder| builder.floor(Floor::bytes(100)));
    assert_eq!(put_at(&layer(&plain), "/locks/a", 1).await.0, 507);
}

/// A part of the floor that may be used also counts in what could ever fit.
#[tokio::test]
async fn what_only_fits_with_the_share_is_not_too_large_for_ever() {
    let disk = FakeResource::with(Reading::new(1000, 1000), |builder| {
        builder.floor(Floor::bytes(100)).essential_share(Floor::bytes(60))
    });
    let layer = layer(&disk);
    assert_eq!(put_at(&layer, "/data", 901).await, (413, Some(Reason::ExceedsCapacity)));
    assert_eq!(
        put_at(&layer, "/locks/a", 961).await,
        (413, Some(Reason::ExceedsCapacity))
    );
    assert_eq!(put_at(&layer, "/locks/a", 960).await, (200, None));
}

#[tokio::test]
async fn usual_body_does_not_grow_into_the_floor() {
    let disk = FakeResource::with(Reading::new(1000, 120), |builder| {
        builder.floor(Floor::bytes(100)).essential_share(Floor::bytes(60))
    });
    let layer = layer(&disk);
    for (path, expected) in [("/data", 507), ("/locks/a", 200)] {
        let request = Request::put(path).body(chunks(&[15, 10])).unwrap();
        let response = layer.layer(service_fn(reads_all)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{path}");
        disk.sample();
    }
}
