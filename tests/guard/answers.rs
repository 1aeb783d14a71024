//! What a refused client is told, and what it is not.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Floor, Guarded, Reading, Reason, Refusal, RenderContext, RetryAfter, State,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

#[tokio::test]
async fn not_now_is_507_and_never_is_413() {
    let disk = FakeResource::with(Reading::new(1000, 300), |builder| builder.floor(Floor::bytes(100)));
    let service = guarding(disk.resource())
        .max_body(800)
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    for (bytes, expected, why) in [
        (200, StatusCode::OK, None),
        (201, StatusCode::INSUFFICIENT_STORAGE, Some(Reason::Space)),
        (800, StatusCode::INSUFFICIENT_STORAGE, Some(Reason::Space)),
        (801, StatusCode::PAYLOAD_TOO_LARGE, Some(Reason::TooLarge)),
    ] {
        let response = service.clone().oneshot(put(zeros(bytes))).await.unwrap();
        assert_eq!((response.status(), reason(&response)), (expected, why), "{bytes} bytes");
        assert_eq!(
            response.headers().contains_key("retry-after"),
            expected == 507,
            "{bytes} bytes"
        );
    }
    let unlimited = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    let never = unlimited.oneshot(put(zeros(901))).await.unwrap();
    assert_eq!(
        (never.status().as_u16(), reason(&never)),
        (413, Some(Reason::ExceedsCapacity))
    );
}

/// For logs and renderers: the figure that the request was held against.
#[tokio::test]
async fn a_refusal_knows_what_was_asked_and_what_there_was() {
    let disk = FakeResource::with(Reading::new(1000, 300), |builder| builder.floor(Floor::bytes(100)));
    for (max_body, bytes, resource, limit) in [
        (Some(800), 801, None, Some(800)),
        (None, 901, Some("fake"), Some(900)),
        (None, 201, Some("fake"), Some(200)),
    ] {
        let builder = guarding(disk.resource());
        let builder = match max_body {
            Some(most) => builder.max_body(most),
            None => builder,
        };
        let service = builder.build().unwrap().layer(service_fn(reads_nothing));
        let response = service.oneshot(put(zeros(bytes))).await.unwrap();
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.requested(), Some(bytes as u64));
        assert_eq!(
            (refusal.resource(), refusal.limit()),
            (resource, limit),
            "{bytes} bytes"
        );
    }
}

#[tokio::test]
async fn a_permanent_failure_wins_over_a_temporary_one() {
    let full = FakeResource::new(1000, 0);
    let small = FakeResource::new(50, 50);
    for (first, second) in [(&full, &small), (&small, &full)] {
        let service = guarding(first.resource()).resource(second.resource()).build().unwrap();
        let response = service
            .layer(service_fn(reads_nothing))
            .oneshot(put(zeros(60)))
            .await
            .unwrap();
        assert_eq!(reason(&response), Some(Reason::ExceedsCapacity));
    }
}

#[tokio::test]
async fn lengths_at_the_end_of_the_number_line_could_never_fit() {
    for total in [1000, u64::MAX] {
        let disk = FakeResource::new(total, 1000);
        let service = guarding(disk.resource())
            .build()
            .unwrap()
            .layer(service_fn(reads_nothing));
        for length in [u64::MAX, u64::MAX - 2, 1 << 63, (1 << 63) - 1] {
            let response = service
                .clone()
                .oneshot(put(ScriptedBody::new().telling_length(length)))
                .await
                .unwrap();
            assert!(matches!(response.status().as_u16(), 413 | 507), "{length}");
            assert_eq!(response.status() == 413, total == 1000, "{length} of {total}");
        }
        assert_eq!(disk.report().headroom, 1000, "nothing was taken");
    }
}

#[tokio::test]
async fn nothing_about_the_server_is_told() {
    let disk = FakeResource::with(Reading::new(123_456_789, 0), |builder| builder.name("srv-uploads"));
    let service = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    for accept in ["application/json", "text/html", "text/plain"] {
        let request = Request::put("/").header("accept", accept).body(zeros(4321)).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let headers = format!("{:?}", response.headers());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        for secret in ["srv-uploads", "123456789", "4321"] {
            assert!(!headers.contains(secret) && !String::from_utf8_lossy(&body).contains(secret));
        }
    }
}

#[tokio::test]
async fn states_and_flags_of_the_resource() {
    let disk = disk(1000);
    let service = guarding(disk.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    disk.force_state(Some(State::Full));
    assert_eq!(status(&service, zeros(1)).await, 507);
    disk.force_state(Some(State::Near));
    assert_eq!(status(&service, zeros(1)).await, 200);
    disk.force_state(None);
    disk.probe().set(disk.probe().reading().with_writable(false));
    disk.sample();
    let response = service.clone().oneshot(put(zeros(1))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::ReadOnly))
    );
    assert!(!response.headers().contains_key("retry-after"), "somebody has to act");
    disk.probe().set(Reading::new(1000, 1000).with_inodes(10, 0));
    disk.sample();
    let response = service.clone().oneshot(put(zeros(1))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), reason(&response)),
        (507, Some(Reason::Inodes))
    );
}

#[tokio::test]
async fn few_inodes_are_counted_like_bytes() {
    let disk = FakeResource::with(Reading::new(1_000_000, 1_000_000).with_inodes(100, 3), |builder| {
        builder
    });
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    for expected in [200, 200, 200, 507] {
        assert_eq!(status(&service, zeros(1)).await, expected);
    }
    // Two files were made; the third was overwritten.
    disk.probe().set(Reading::new(1_000_000, 1_000_000).with_inodes(100, 1));
    disk.sample();
    assert_eq!(status(&service, zeros(1)).await, 200);
    assert_eq!(status(&service, zeros(1)).await, 507);
}

#[tokio::test]
async fn a_renderer_of_ones_own_and_the_refusal_beside_it() {
    let disk = disk(10);
    let renderer = |refusal: &Refusal, context: &RenderContext<'_>| {
        let words = format!("{} {} of {:?}", context.method(), refusal.reason(), context.max_body());
        Response::builder().status(418).body(Bytes::from(words)).unwrap()
    };
    let layer = guarding(disk.resource())
        .max_body(500)
        .renderer(renderer)
        .retry_after(RetryAfter::seconds(3, 3))
        .build()
        .unwrap();
    let service = layer.layer(service_fn(reads_all));
    // Early and late alike.
    for body in [ScriptedBody::new().telling_length(11), chunks(&[6, 6])] {
        let response = service.clone().oneshot(put(body)).await.unwrap();
        assert_eq!(response.status(), 418);
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(reason(&response), Some(Reason::Space));
        let words = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(words, "PUT space of Some(500)");
    }
}

/// What a connection that goes on would not get over.
#[tokio::test]
async fn a_connection_is_closed_or_a_small_body_read_first() {
    let layer = guarding(disk(10).resource()).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    for (body, is_kept, closes, lingered) in [
        (ScriptedBody::new().telling_length(11).data(11), false, false, 0),
        (ScriptedBody::new().telling_length(11).data(6).hang(), true, false, 0),
        (
            ScriptedBody::new().telling_length(1 << 20).data(6).hang(),
            true,
            true,
            1,
        ),
    ] {
        let here = Arc::new(());
        let body_lives = Arc::downgrade(&here);
        let body = body.map_err(move |error| {
            let _is_here = &here;
            error
        });
        let response = service.clone().oneshot(put(body)).await.unwrap();
        let header = response.headers().get("connection");
        assert_eq!(header.is_some_and(|value| value == "close"), closes);
        drop(response);
        assert_eq!(body_lives.strong_count() > 0, is_kept);
        assert_eq!(layer.report().lingered, lingered);
    }
}

#[tokio::test]
async fn an_admitted_answer_is_left_alone() {
    let service = guarding(disk(100).resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    let response = service.oneshot(put(zeros(7))).await.unwrap();
    assert!(response.headers().is_empty());
    assert!(response.extensions().is_empty());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "7");
}

/// Servers go by it: they tell the length, and do not ask again.
#[tokio::test]
async fn bodies_tell_their_length_and_their_end() {
    async fn looks(request: Request<Guarded<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let body = request.into_body();
        let told = format!("{} {:?}", body.is_end_stream(), body.size_hint().exact());
        Ok(Response::new(Full::from(told)))
    }
    let layer = guarding(disk(10).resource()).build().unwrap();
    for (bytes, told) in [(5, "false Some(5)"), (0, "true Some(0)")] {
        let response = layer.layer(service_fn(looks)).oneshot(put(zeros(bytes))).await.unwrap();
        let body = response.into_body();
        assert_eq!(
            (body.is_end_stream(), body.size_hint().exact()),
            (false, Some(told.len() as u64))
        );
        assert_eq!(body.collect().await.unwrap().to_bytes(), told);
    }
    let empty =
        service_fn(|_: Request<Guarded<Full<Bytes>>>| async { Ok::<_, BoxError>(Response::<Full<Bytes>>::default()) });
    let body = layer.layer(empty).oneshot(put(zeros(5))).await.unwrap().into_body();
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));

    let refused = layer.layer(service_fn(looks)).oneshot(put(zeros(11))).await.unwrap();
    let mut body = refused.into_body();
    let length = body.size_hint().exact().unwrap();
    assert!(length > 0 && !body.is_end_stream());
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame.len() as u64, length);
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
}

#[tokio::test]
async fn a_body_that_ends_early_says_why() {
    async fn tells(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let error = request.into_body().collect().await.unwrap_err();
        Err(error.to_string().into())
    }
    let layer = guarding(disk(10).resource()).build().unwrap();
    for (body, words) in [
        (ScriptedBody::new().data(5).error("a cable"), "the request body failed"),
        (
            chunks(&[6, 6]),
            "the request body was cut off: there is not enough room to store the content now",
        ),
    ] {
        let told = std::sync::Mutex::new(String::new());
        let service = layer.layer(service_fn(|request| async {
            let outcome = tells(request).await;
            *told.lock().unwrap() = outcome.as_ref().unwrap_err().to_string();
            outcome
        }));
        let _ = service.oneshot(put(body)).await;
        assert_eq!(*told.lock().unwrap(), words);
    }
}

#[tokio::test]
async fn large_body_tells_its_length() {
    const LARGE: usize = 200_000;
    async fn looks(mut request: Request<Guarded<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, BoxError> {
        let body = request.body_mut();
        assert_eq!(
            (body.is_end_stream(), body.size_hint().exact()),
            (false, Some(LARGE as u64))
        );
        body.frame().await.unwrap()?;
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (true, Some(0)));
        Ok(Response::default())
    }
    let layer = guarding(disk(1_000_000).resource()).build().unwrap();
    let response = layer.layer(service_fn(looks)).oneshot(put(zeros(LARGE))).await.unwrap();
    assert_eq!(response.status(), 200);
}
