//! Requests whose handler stores bytes that are not in their body.

use std::future::pending;

use http::{HeaderName, Request, Response, request::Parts};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Class, Guarded, Ledger, Reason, SizeModel, StorageGuardBuilder, TenantFrom, test_util::FakeResource,
};

use crate::support::*;

const GIB: u64 = 1 << 30;

type Body = Full<bytes::Bytes>;

fn hundred_free() -> FakeResource {
    FakeResource::new(100 * GIB, 100 * GIB)
}

/// A layer whose classifier knows that each request copies 60 GiB.
fn copying(disk: &FakeResource) -> StorageGuardBuilder {
    guarding(disk.resource()).classifier(|_: &Parts| Class::StoresBytes(60 * GIB))
}

fn empty(method: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/")
        .body(Full::default())
        .unwrap()
}

#[track_caller]
fn assert_closed(disk: &FakeResource, bytes: u64) {
    let report = disk.report();
    assert_eq!((report.unseen, report.held), (bytes, 0), "unseen and held");
    assert_eq!(report.headroom, (100 * GIB - bytes) as i64, "headroom");
}

#[tokio::test]
async fn copy_closes_when_its_body_is_dropped_unread() {
    let disk = hundred_free();
    let service = copying(&disk).build().unwrap().layer(service_fn(reads_nothing));
    let first = service.clone().oneshot(empty("COPY")).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_closed(&disk, 60 * GIB);

    let second = service.clone().oneshot(empty("COPY")).await.unwrap();
    assert_eq!((second.status().as_u16(), reason(&second)), (507, Some(Reason::Space)));
    assert_closed(&disk, 60 * GIB);

    disk.probe().set_available(40 * GIB);
    let report = disk.sample();
    assert_eq!(
        (report.unseen, report.headroom),
        (0, 40 * GIB as i64),
        "the copy is seen"
    );
    assert_eq!(status(&service, zeros(0)).await, 507);
}

/// A copy that shares its blocks with the original takes no room.
#[tokio::test]
async fn reading_that_shows_no_copy_returns_the_room() {
    let disk = hundred_free();
    let service = copying(&disk).build().unwrap().layer(service_fn(reads_nothing));
    assert_eq!(status(&service, zeros(0)).await, 200);
    assert_closed(&disk, 60 * GIB);
    assert_eq!(disk.sample().headroom, 100 * GIB as i64);
    assert_eq!(status(&service, zeros(0)).await, 200);
}

#[tokio::test]
async fn copy_for_a_tenant_closes_on_disk() {
    const TENANT: HeaderName = HeaderName::from_static("x-tenant");
    let (disk, ledger) = (hundred_free(), Ledger::builder().build().unwrap());
    let layer = copying(&disk).tenant(ledger.clone(), TenantFrom::header(TENANT));
    let service = layer.build().unwrap().layer(service_fn(reads_nothing));
    let mut copy = empty("COPY");
    copy.headers_mut().insert(TENANT, "t".parse().unwrap());
    assert_eq!(service.oneshot(copy).await.unwrap().status(), 200);
    assert_closed(&disk, 60 * GIB);
    assert_eq!(ledger.usage("t").used, 60 * GIB);
}

/// The handler may have copied all of it by then.
#[tokio::test]
async fn copy_closes_when_its_request_is_dropped() {
    async fn copies(_: Request<Guarded<Body>>) -> Result<Response<Body>, BoxError> {
        pending().await
    }
    let disk = hundred_free();
    let service = copying(&disk).build().unwrap().layer(service_fn(copies));
    let mut response = Box::pin(service.oneshot(empty("COPY")));
    assert!(futures_util::poll!(&mut response).is_pending());
    assert_eq!(disk.report().held, 60 * GIB);
    drop(response);
    assert_closed(&disk, 60 * GIB);
}

#[tokio::test]
async fn copy_closes_when_its_handler_fails() {
    async fn fails(_: Request<Guarded<Body>>) -> Result<Response<Body>, BoxError> {
        Err("a handler that fails".into())
    }
    let disk = hundred_free();
    let service = copying(&disk).build().unwrap().layer(service_fn(fails));
    service.oneshot(empty("COPY")).await.expect_err("it fails");
    assert_closed(&disk, 60 * GIB);
}

#[tokio::test]
async fn unread_body_of_a_copy_closes_the_copy_alone() {
    let disk = hundred_free();
    let service = copying(&disk).build().unwrap().layer(service_fn(reads_nothing));
    assert_eq!(status(&service, zeros(1000)).await, 200);
    assert_closed(&disk, 60 * GIB);
}

/// Nothing says that the bytes come in later requests, so the handler may preallocate them.
#[tokio::test]
async fn hinted_bytes_of_an_empty_post_close() {
    for hint in ["upload-length", "x-expected-entity-length"] {
        let disk = hundred_free();
        let service = guarding(disk.resource())
            .build()
            .unwrap()
            .layer(service_fn(reads_nothing));
        let mut post = empty("POST");
        post.headers_mut().insert(hint, (60 * GIB).into());
        let again = post.clone();
        assert_eq!(service.clone().oneshot(post).await.unwrap().status(), 200);
        assert_closed(&disk, 60 * GIB);
        let response = service.oneshot(again).await.unwrap();
        assert_eq!(response.status(), 507, "{hint}");
    }
}

#[tokio::test]
async fn minimum_charge_of_an_empty_body_closes() {
    for method in ["MKCOL", "COPY", "POST", "PUT"] {
        let disk = hundred_free();
        let layer = guarding(disk.resource())
            .minimum_charge(60)
            .size_model(SizeModel::EXACT);
        let service = layer.build().unwrap().layer(service_fn(reads_nothing));
        assert_eq!(service.oneshot(empty(method)).await.unwrap().status(), 200);
        assert_closed(&disk, 60);
    }
}
