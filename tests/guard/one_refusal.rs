//! One refusal an event: what a handler finds in its body's error, what the response carries and what observers hear is
//! the same, with the same figures.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Event, Guarded, Ledger, Limit, Reason, Refusal, StorageGuardBuilder, StorageGuardLayer, TenantFrom,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// The refusals that observers and handlers have met.
#[derive(Clone, Default)]
struct Met(Arc<Mutex<Vec<Refusal>>>);

impl Met {
    fn push(&self, refusal: &Refusal) {
        self.0.lock().unwrap().push(refusal.clone());
    }

    /// The only one so far.
    #[track_caller]
    fn only(&self) -> Refusal {
        let mut met = self.0.lock().unwrap();
        assert_eq!(met.len(), 1, "{met:?}");
        met.pop().unwrap()
    }
}

fn observed(builder: StorageGuardBuilder) -> (StorageGuardLayer, Met) {
    let told = Met::default();
    let observer = told.clone();
    let layer = builder.observer(move |event: &Event<'_>| {
        if let Event::Refused { refusal, .. } = event {
            observer.push(refusal);
        }
    });
    (layer.build().unwrap(), told)
}

fn request(body: ScriptedBody) -> Request<ScriptedBody> {
    Request::put("/").header(TENANT, "t").body(body).unwrap()
}

/// The refusal of a body that is cut off, in all three places.
async fn cut_off(builder: StorageGuardBuilder, body: ScriptedBody) -> Refusal {
    let (layer, told) = observed(builder);
    let met = Met::default();
    let in_handler = met.clone();
    let service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        let met = in_handler.clone();
        async move {
            let error = request.into_body().collect().await.expect_err("cut off");
            met.push(error.refusal().expect("a refusal"));
            Ok::<_, BoxError>(Response::new(Full::<bytes::Bytes>::default()))
        }
    }));
    let response = service.oneshot(request(body)).await.unwrap();
    let refusal: &Refusal = response.extensions().get().expect("a refusal");
    assert_eq!(met.only(), *refusal, "the error of the body and the response");
    assert_eq!(told.only(), *refusal, "the observer and the response");
    assert!(refusal.is_mid_stream());
    assert_eq!(layer.report().refused.total(), 1);
    refusal.clone()
}

fn figures(refusal: &Refusal) -> (Reason, Option<u64>, Option<u64>) {
    (refusal.reason(), refusal.requested(), refusal.limit())
}

fn ledger(name: &str, limit: u64) -> Ledger {
    let builder = Ledger::builder().name(name).default_limit(Limit::bytes(limit));
    builder.build().unwrap()
}

fn with_tenant(ledger: &Ledger) -> StorageGuardBuilder {
    StorageGuardLayer::builder().tenant(ledger.clone(), TenantFrom::header(TENANT))
}

#[tokio::test]
async fn cut_off_by_a_disk_is_one_refusal() {
    let disk = disk(1000);
    let refusal = cut_off(guarding(disk.resource()), chunks(&[600, 600])).await;
    assert_eq!(refusal.resource(), Some("fake"));
    assert_eq!(figures(&refusal), (Reason::Space, Some(1200), refusal.limit()));
    assert!(refusal.limit().is_some_and(|limit| limit <= 1000), "{refusal:?}");
}

/// The figures are those of the refusal, not of a later look: the room has changed since then.
#[tokio::test]
async fn figures_are_of_the_moment_of_the_refusal() {
    let disk = FakeResource::new(1_000_000, 1000);
    let (layer, told) = observed(guarding(disk.resource()));
    let samples = disk.clone();
    let service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        let disk = samples.clone();
        async move {
            request.into_body().collect().await.expect_err("cut off");
            disk.probe().set_available(500_000);
            disk.sample();
            Ok::<_, BoxError>(Response::new(Full::<bytes::Bytes>::default()))
        }
    }));
    let response = service.oneshot(request(chunks(&[600, 600]))).await.unwrap();
    let refusal: &Refusal = response.extensions().get().expect("a refusal");
    assert_eq!(told.only(), *refusal);
    assert!(refusal.limit().is_some_and(|limit| limit <= 1000), "{refusal:?}");
}

#[tokio::test]
async fn cut_off_by_the_largest_body_is_one_refusal() {
    let refusal = cut_off(guarding(disk(1000).resource()).max_body(100), chunks(&[60, 60])).await;
    assert_eq!(figures(&refusal), (Reason::TooLarge, Some(120), Some(100)));
}

#[tokio::test]
async fn cut_off_by_a_whole_disk_is_one_refusal() {
    let small = FakeResource::new(1000, 1000);
    let refusal = cut_off(guarding(small.resource()), chunks(&[600, 600])).await;
    assert_eq!(figures(&refusal), (Reason::ExceedsCapacity, Some(1200), Some(1000)));
}

#[tokio::test]
async fn cut_off_by_a_second_disk_is_one_refusal() {
    let (wide, narrow) = (disk(100_000), disk(1000));
    let builder = guarding(wide.resource()).resource(narrow.resource());
    let refusal = cut_off(builder, chunks(&[600, 600])).await;
    assert_eq!((refusal.reason(), refusal.requested()), (Reason::Space, Some(1200)));
}

#[tokio::test]
async fn cut_off_by_a_quota_is_one_refusal() {
    let quota = ledger("users", 1000);
    quota.charge("t", 400);
    let refusal = cut_off(with_tenant(&quota), chunks(&[500, 500])).await;
    assert_eq!((refusal.resource(), refusal.tenant()), (Some("users"), Some("t")));
    assert_eq!((refusal.reason(), refusal.requested()), (Reason::Quota, Some(1000)));
    assert!(refusal.limit().is_some());
}

#[tokio::test]
async fn cut_off_by_a_whole_quota_is_one_refusal() {
    let refusal = cut_off(with_tenant(&ledger("users", 1000)), chunks(&[600, 600])).await;
    assert_eq!(figures(&refusal), (Reason::ExceedsQuota, Some(1200), Some(1000)));
}

/// Two ledgers of the same name cannot be confused.
#[tokio::test]
async fn cut_off_by_a_namesake_is_one_refusal() {
    let (wide, narrow) = (ledger("users", 1 << 40), ledger("users", 1000));
    let builder = with_tenant(&wide).tenant(narrow, TenantFrom::header(TENANT));
    let refusal = cut_off(builder, chunks(&[600, 600])).await;
    assert_eq!(figures(&refusal), (Reason::ExceedsQuota, Some(1200), Some(1000)));
}

#[tokio::test]
async fn refusal_at_the_head_is_one() {
    let disk = disk(1000);
    let (layer, told) = observed(guarding(disk.resource()));
    let service = layer.layer(service_fn(reads_nothing));
    let body = ScriptedBody::new().telling_length(1001);
    let response = service.oneshot(request(body)).await.unwrap();
    let refusal: &Refusal = response.extensions().get().expect("a refusal");
    assert_eq!(told.only(), *refusal);
    assert_eq!(figures(refusal), (Reason::Space, Some(1001), Some(1000)));
    assert!(!refusal.is_mid_stream());
}

#[tokio::test]
async fn late_failure_is_one_refusal() {
    let (layer, told) = observed(guarding(disk(1000).resource()));
    let service = layer.layer(service_fn(|request: Request<Guarded<ScriptedBody>>| async move {
        request.into_body().collect().await?;
        Err::<Response<Full<bytes::Bytes>>, BoxError>(io::Error::from(ErrorKind::StorageFull).into())
    }));
    let response = service.oneshot(request(chunks(&[10]))).await.unwrap();
    let refusal: &Refusal = response.extensions().get().expect("a refusal");
    assert_eq!(told.only(), *refusal);
    assert!(refusal.is_mid_stream());
}

/// The handler that was cut off may find the disk full as well.
#[tokio::test]
async fn cut_off_and_failed_late_is_one_refusal() {
    let (layer, told) = observed(guarding(disk(1000).resource()));
    let service = layer.layer(service_fn(|request: Request<Guarded<ScriptedBody>>| async move {
        request.into_body().collect().await.expect_err("cut off");
        Err::<Response<Full<bytes::Bytes>>, BoxError>(io::Error::from(ErrorKind::StorageFull).into())
    }));
    let response = service.oneshot(request(chunks(&[600, 600]))).await.unwrap();
    let refusal: &Refusal = response.extensions().get().expect("a refusal");
    assert_eq!(told.only(), *refusal);
    assert_eq!((refusal.reason(), refusal.requested()), (Reason::Space, Some(1200)));
}
