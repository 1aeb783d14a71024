//! The storage itself says that it is full, although the request was admitted.

use std::{io, sync::mpsc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Charge, Floor, Guarded, Reading, Reason, Refusal, RenderContext, Resource, StorageFailure,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

async fn marks(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, BoxError> {
    request.into_body().collect().await?;
    let error = io::Error::from(io::ErrorKind::StorageFull);
    let mut response = Response::new(Full::from("500"));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
        .extensions_mut()
        .insert(StorageFailure::from_error(&error).unwrap());
    Ok(response)
}

#[tokio::test]
async fn a_marked_response_becomes_the_refusal_and_the_account_is_empty_until_the_next_reading() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let response = layer
        .layer(service_fn(marks))
        .oneshot(put(chunks(&[10])))
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::Space))
    );
    assert!(response.headers().contains_key("retry-after"));
    assert!(disk.report().headroom <= 0);
    let service = layer.layer(service_fn(reads_nothing));
    assert_eq!(status(&service, zeros(1)).await, 507);
    disk.sample();
    assert_eq!(status(&service, zeros(1)).await, 200);
    assert_eq!(disk.report().headroom, 1000);
}

#[tokio::test]
async fn a_full_disk_says_nothing_about_memory() {
    let (disk, memory) = (disk(1000), FakeResource::new(2000, 2000));
    let layer = guarding(disk.resource()).resource_charged(memory.resource(), Charge::Window(100));
    let service = layer.build().unwrap().layer(service_fn(marks));
    assert_eq!(status(&service, chunks(&[10])).await, 507);
    assert!(disk.report().headroom <= 0);
    assert!(memory.report().headroom >= 1900, "{:?}", memory.report());
}

#[tokio::test]
async fn errors_of_the_service_are_looked_into() {
    async fn boxed(_: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, BoxError> {
        Err(io::Error::other(io::Error::from(io::ErrorKind::QuotaExceeded)).into())
    }
    async fn plain(_: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, io::Error> {
        Err(io::ErrorKind::FileTooLarge.into())
    }
    async fn other(_: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, io::Error> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    let layer = guarding(disk(1000).resource()).build().unwrap();
    let response = layer.layer(service_fn(boxed)).oneshot(put(chunks(&[1]))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::Quota))
    );
    assert!(!response.headers().contains_key("retry-after"), "somebody has to act");
    let roomy = disk(1000);
    let layer = guarding(roomy.resource()).build().unwrap();
    let response = layer.layer(service_fn(plain)).oneshot(put(chunks(&[1]))).await.unwrap();
    assert_eq!(
        roomy.report().headroom,
        1000,
        "a file that is too large says nothing about room"
    );
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (413, Some(Reason::ExceedsCapacity))
    );
    let layer = guarding(disk(1000).resource()).build().unwrap();
    let error = layer
        .layer(service_fn(other))
        .oneshot(put(chunks(&[1])))
        .await
        .expect_err("none of our business");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

/// Also when the body was never asked for, so that what it held would otherwise be free at once.
#[tokio::test]
async fn nobody_of_the_same_size_is_let_in_after_a_failure() {
    async fn fails_at_once(_: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, io::Error> {
        Err(io::ErrorKind::StorageFull.into())
    }
    let disk = disk(1000);
    let service = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(fails_at_once));
    for _ in 0..2 {
        let body = chunks(&[600]).telling_length(600);
        let response = service.clone().oneshot(put(body)).await.unwrap();
        assert_eq!(response.status(), 507);
        assert!(disk.report().headroom <= 0);
    }
    assert_eq!(disk.sample().headroom, 1000);
}

/// Whatever the size of the account.
#[tokio::test]
async fn a_failure_empties_an_account_without_end() {
    let disk = FakeResource::with(Reading::unbounded(u64::MAX), |builder| builder);
    let layer = guarding(disk.resource()).build().unwrap();
    let response = layer
        .layer(service_fn(marks))
        .oneshot(put(chunks(&[10])))
        .await
        .unwrap();
    assert_eq!(response.status(), 507);
    let service = layer.layer(service_fn(reads_all));
    assert_eq!(status(&service, chunks(&[1])).await, 507);
    disk.probe().fail("no answer");
    disk.sample();
    assert_eq!(status(&service, chunks(&[1])).await, 507, "that was no reading");
    disk.probe().set(Reading::unbounded(u64::MAX));
    disk.sample();
    assert_eq!(status(&service, chunks(&[1])).await, 200);
}

/// A setting that changes while the measurement hangs does not reopen it either.
#[tokio::test]
async fn a_hung_probe_does_not_reopen_a_full_disk() {
    let (begins, begun) = mpsc::channel();
    let (permit, permits) = mpsc::channel();
    let probe = move || {
        let _ = begins.send(());
        let _ = permits.recv();
        Ok::<_, io::Error>(Reading::new(1_000_000, 1000))
    };
    // By `build`, and soon after.
    (0..2).for_each(|_| permit.send(()).unwrap());
    let hour = Duration::from_secs(3600);
    let disk = Resource::builder("disk", probe)
        .floor(Floor::NONE)
        .interval(hour)
        .min_interval(Duration::from_millis(10))
        .max_age(2 * hour)
        .build()
        .unwrap();
    (0..2).for_each(|_| begun.recv().unwrap());

    let layer = guarding(disk.clone()).build().unwrap();
    let (fails, reads) = (layer.layer(service_fn(marks)), layer.layer(service_fn(reads_all)));
    assert_eq!(status(&fails, chunks(&[1])).await, 507);
    begun.recv().unwrap();
    disk.reconfigure(disk.settings().inode_floor(1)).unwrap();
    assert_eq!(status(&reads, chunks(&[1])).await, 507);
    assert!(disk.report().closed);

    (0..2).for_each(|_| permit.send(()).unwrap());
    assert!(!disk.sample_now().unwrap().closed);
    assert_eq!(status(&reads, chunks(&[1])).await, 200);
}

/// The answer comes in the format that the request preferred, though its head is gone by then.
#[tokio::test]
async fn a_late_answer_remembers_what_the_client_accepts() {
    let layer = guarding(disk(1000).resource()).build().unwrap();
    let request = Request::put("/")
        .header("accept", "text/html")
        .body(chunks(&[1]))
        .unwrap();
    let response = layer.layer(service_fn(marks)).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn late_failure_is_rendered_with_the_head() {
    let renderer = |_: &Refusal, context: &RenderContext<'_>| {
        let method = Bytes::from(context.method().to_string());
        Response::builder().status(418).body(method).unwrap()
    };
    let disk = disk(1000);
    let layer = guarding(disk.resource()).renderer(renderer).build().unwrap();
    let upload = put(chunks(&[10]).telling_length(10));
    let response = layer.layer(service_fn(marks)).oneshot(upload).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "PUT");
}
