//! Bodies of unknown length, and bodies that are longer than they said.

use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    BodyErrorKind, Guarded, Reason, Refusal, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

#[tokio::test]
async fn a_body_that_outgrows_the_room_is_refused_whatever_the_handler_says() {
    async fn swallows(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, BoxError> {
        let error = request.into_body().collect().await.expect_err("cut off");
        assert_eq!(error.kind(), BodyErrorKind::Refused);
        // A handler that thinks all is well.
        Ok(Response::builder().status(201).body(Full::from("stored")).unwrap())
    }
    async fn gives_400(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, BoxError> {
        let _ = request.into_body().collect().await;
        Ok(Response::builder().status(400).body(Full::default()).unwrap())
    }
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    for frames in [&[600, 600][..], &[1; 1001], &[1000, 1]] {
        for response in [
            layer
                .layer(service_fn(swallows))
                .oneshot(put(chunks(frames)))
                .await
                .unwrap(),
            layer
                .layer(service_fn(gives_400))
                .oneshot(put(chunks(frames)))
                .await
                .unwrap(),
            layer
                .layer(service_fn(reads_all))
                .oneshot(put(chunks(frames)))
                .await
                .unwrap(),
        ] {
            assert_eq!(
                (response.status().as_u16(), reason(&response)),
                (507, Some(Reason::Space))
            );
            let refusal: &Refusal = response.extensions().get().unwrap();
            assert!(refusal.is_mid_stream());
            assert_eq!(refusal.resource(), Some("fake"));
            disk.sample();
        }
    }
    assert_eq!(disk.sample().headroom, 1000);
}

#[tokio::test]
async fn exactly_what_fits_is_admitted() {
    let disk = disk(1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    for frames in [&[1000][..], &[1; 1000], &[400, 600], &[0, 999, 0, 1, 0]] {
        assert_eq!(status(&service, chunks(frames)).await, 200, "{} frames", frames.len());
        disk.sample();
    }
}

/// The room is taken before a frame is handed on, so that two bodies cannot both believe in the same bytes.
#[tokio::test]
async fn two_bodies_of_unknown_length_share_what_there_is() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let frames = vec![10; 60];
    let both = futures_util::future::join(
        layer.layer(service_fn(reads_all)).oneshot(put(paused(&frames))),
        layer.layer(service_fn(reads_all)).oneshot(put(paused(&frames))),
    );
    let (one, other) = both.await;
    let statuses = [one.unwrap().status().as_u16(), other.unwrap().status().as_u16()];
    assert!(statuses.contains(&507), "{statuses:?}");
    let report = disk.report();
    assert!(report.headroom >= 0, "{report:?}");
}

fn paused(frames: &[usize]) -> ScriptedBody {
    frames
        .iter()
        .fold(ScriptedBody::new(), |body, bytes| body.data(*bytes).pause())
}

#[tokio::test]
async fn the_largest_body_holds_for_unknown_lengths_too() {
    let service = guarding(disk(1000).resource())
        .max_body(100)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    assert_eq!(status(&service, chunks(&[50, 50])).await, 200);
    let response = service.oneshot(put(chunks(&[50, 51]))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (413, Some(Reason::TooLarge))
    );
    assert!(!response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn more_than_could_ever_fit_is_413() {
    let disk = tower_storage_guard::test_util::FakeResource::new(1000, 1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let response = service.oneshot(put(chunks(&[600, 600]))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (413, Some(Reason::ExceedsCapacity))
    );
}

/// A hint or a length that is too low lets nothing past: what really comes is counted.
#[tokio::test]
async fn bytes_that_really_pass_are_counted() {
    let disk = disk(1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert_eq!(status(&service, chunks(&[600, 600]).telling_length(10)).await, 507);
    disk.sample();
    let request = Request::put("/")
        .header("upload-length", "10")
        .body(chunks(&[600, 600]))
        .unwrap();
    assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 507);
    disk.sample();
    let request = Request::put("/")
        .header("upload-length", "1001")
        .body(chunks(&[1]))
        .unwrap();
    assert_eq!(
        service.clone().oneshot(request).await.unwrap().status(),
        507,
        "a hint that is too high is believed"
    );
}

/// What was taken ahead of a growing body and never came is given back when it ends.
#[tokio::test]
async fn nothing_stays_held_that_never_came() {
    let disk = disk(1_000_000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert_eq!(status(&service, chunks(&[1000, 1000, 1000, 1])).await, 200);
    assert_eq!(disk.report().headroom, 1_000_000 - 3001);
}

#[tokio::test]
async fn a_length_can_be_demanded() {
    let service = guarding(disk(1000).resource())
        .require_length(true)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    let response = service.clone().oneshot(put(chunks(&[1]))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (411, Some(Reason::LengthRequired))
    );
    assert_eq!(status(&service, chunks(&[1]).telling_length(1)).await, 200);
}

/// Handlers tell a refusal from a client that went away.
#[tokio::test]
async fn a_failure_of_the_body_itself_is_passed_on() {
    async fn looks(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<bytes::Bytes>>, BoxError> {
        let error = request.into_body().collect().await.expect_err("breaks off");
        assert_eq!(error.kind(), BodyErrorKind::Inner);
        assert!(error.refusal().is_none());
        let cause = std::error::Error::source(&error).expect("its own error");
        assert_eq!(cause.to_string(), "reset");
        Ok(Response::builder().status(400).body(Full::default()).unwrap())
    }
    let service = guarding(disk(1000).resource())
        .build()
        .unwrap()
        .layer(service_fn(looks));
    let response = service.oneshot(put(chunks(&[10]).error("reset"))).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (400, None));
}

/// A reservation for every frame would be too slow.
#[tokio::test]
async fn growing_body_reserves_up_to_a_mebibyte_ahead() {
    const MIB: usize = 1 << 20;
    let disk = FakeResource::new(1 << 40, 1 << 40);
    let layer = guarding(disk.resource()).write_buffer(WriteBuffer::Whole);
    let mut body = in_hand(&layer.build().unwrap(), chunks(&[1000, 1000, 4 * MIB, MIB])).await;
    let mut held = Vec::new();
    while let Some(frame) = body.frame().await {
        assert!(frame.is_ok());
        held.push(disk.report().held as usize);
    }
    assert_eq!(held, [1000, 3000, 4 * MIB + 5000, 6 * MIB + 2000]);
}

#[tokio::test]
async fn set_hint_raises_a_known_length() {
    let hint = HeaderName::from_static("x-total");
    let layer = guarding(disk(1000).resource()).length_hints([hint]).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    for (total, expected) in [("1001", 507), ("1000", 200)] {
        let request = Request::put("/").header("x-total", total).body(zeros(10)).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{total}");
    }
}
