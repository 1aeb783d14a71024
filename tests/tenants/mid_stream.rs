//! Bodies of unknown length.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Guarded, Ledger, Limit, Reason, Refusal, TenantFrom,
    test_util::{FakeResource, ScriptedBody},
};

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

/// A handler may answer before it has read. What is refused then is not stored, and nobody is charged with it.
#[tokio::test]
async fn a_frame_that_is_refused_after_the_answer_is_not_charged() {
    let ledger = ledger(100_000);
    let (sender, receiver) = std::sync::mpsc::channel();
    let answers_first = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
    };
    let service = charging(&ledger).build().unwrap().layer(service_fn(answers_first));
    let upload = request(Method::PUT, "/", chunks(&[60_000, 30_000, 50_000]));
    assert_eq!(service.oneshot(upload).await.unwrap().status(), 200);
    let mut body = receiver.recv().unwrap();
    for _ in 0..2 {
        assert!(body.frame().await.unwrap().is_ok());
    }
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.refusal().is_some());
    drop(body);
    assert_eq!(usage(&ledger), (90_000, 0));
}

/// What can never be stored is told before what has no room now, whichever scope comes first.
#[tokio::test]
async fn what_can_never_fit_is_told_first() {
    let disk = FakeResource::new(10_000_000, 30_000);
    let (small, large) = (
        FakeResource::new(50_000, 50_000),
        FakeResource::new(10_000_000, 9_000_000),
    );
    let upload = || request(Method::PUT, "/", chunks(&[20_000, 40_000]));

    let guard = charging(&ledger(1_000_000))
        .resource(disk.resource())
        .resource(small.resource());
    let response = send(&guard.build().unwrap(), upload()).await;
    assert_eq!(told(&response), (413, Some(Reason::ExceedsCapacity)));

    disk.sample();
    let guard = charging(&ledger(50_000))
        .resource(disk.resource())
        .resource(large.resource());
    let response = send(&guard.build().unwrap(), upload()).await;
    assert_eq!(told(&response), (413, Some(Reason::ExceedsQuota)));

    disk.sample();
    let guard = charging(&ledger(1_000_000))
        .resource(disk.resource())
        .resource(large.resource());
    let response = send(&guard.build().unwrap(), upload()).await;
    assert_eq!(told(&response), (507, Some(Reason::Space)));
}

/// Also where the tenant has the same name in another.
#[tokio::test]
async fn the_ledger_that_refuses_is_the_one_that_is_named() {
    let wide = Ledger::builder()
        .name("wide")
        .default_limit(Limit::bytes(1 << 40))
        .build()
        .unwrap();
    let narrow = Ledger::builder()
        .name("narrow")
        .default_limit(Limit::bytes(30_000))
        .build()
        .unwrap();
    let guard = charging(&wide)
        .tenant(narrow, TenantFrom::header(TENANT))
        .build()
        .unwrap();
    let response = send(&guard, request(Method::PUT, "/", chunks(&[20_000; 2]))).await;
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!((refusal.resource(), refusal.tenant()), (Some("narrow"), Some("t")));
}

#[tokio::test]
async fn largest_body_may_be_reached_and_not_exceeded() {
    let ledger = ledger(1_000_000);
    let guard = charging(&ledger).max_body(50_000).build().unwrap();
    for (last, expected) in [(20_000, (200, None)), (20_001, (413, Some(Reason::TooLarge)))] {
        let response = send(&guard, request(Method::PUT, "/", chunks(&[30_000, last]))).await;
        assert_eq!(told(&response), expected);
    }
    assert_eq!(told(&send(&guard, put(50_000)).await), (200, None));
    assert_eq!(usage(&ledger), (100_000, 0));
}

/// A body that is longer than it said, a tenant and a handle together.
#[tokio::test]
async fn cut_off_body_is_refused_whatever_its_request_has() {
    let disk = FakeResource::new(1000, 500);
    let guard = charging(&ledger(1_000_000)).resource(disk.resource());
    let ignores_errors = |mut request: Request<Guarded<ScriptedBody>>| async move {
        while let Some(Ok(_)) = request.body_mut().frame().await {}
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    };
    let guard = guard.expose_reservation(true).build().unwrap();
    let upload = request(Method::PUT, "/", chunks(&[10, 600]).telling_length(10));
    let response = guard.layer(service_fn(ignores_errors)).oneshot(upload).await.unwrap();
    assert_eq!(told(&response), (507, Some(Reason::Space)));
}

/// All of a frame or none, before the request ends.
#[tokio::test]
async fn refused_frame_is_given_back_by_every_ledger() {
    let (wide, narrow) = (ledger(1_000_000), ledger(30_000));
    let guard = charging(&wide).tenant(narrow.clone(), TenantFrom::header(TENANT));
    let (sender, receiver) = std::sync::mpsc::channel();
    let answers_first = move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
    };
    let service = guard.build().unwrap().layer(service_fn(answers_first));
    let upload = request(Method::PUT, "/", chunks(&[20_000; 2]));
    assert_eq!(service.oneshot(upload).await.unwrap().status(), 200);
    let mut body = receiver.recv().unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!((usage(&wide), usage(&narrow)), ((0, 20_000), (0, 20_000)));
}
