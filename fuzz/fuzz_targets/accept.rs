//! In which words a refusal is told, by whatever a request's head says, and that these are well formed.
#![no_main]

use std::{convert::Infallible, future::ready};

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{
    Guarded, Reason, Refusal, Resource, StorageGuardLayer, TemporaryStatus,
    test_util::{FakeProbe, ManualClock, ScriptedBody},
};
use tower_storage_guard_fuzz::{Input, Ready, at_once, head};

const NAME: &str = "zanzibar";
const FREE: u64 = 7_654_321;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (status, expected) = match input.below(3) {
        0 => (TemporaryStatus::InsufficientStorage, StatusCode::INSUFFICIENT_STORAGE),
        1 => (TemporaryStatus::ServiceUnavailable, StatusCode::SERVICE_UNAVAILABLE),
        _ => (TemporaryStatus::TooManyRequests, StatusCode::TOO_MANY_REQUESTS),
    };
    let (reason, length) = match input.below(3) {
        0 => (Reason::Space, FREE + 1),
        1 => (Reason::TooLarge, 1 << 40),
        // Told when the handler has answered already.
        _ => (Reason::Space, 0),
    };
    let is_late = length == 0;
    let request = head(input.rest());
    let is_http1 = request.version() <= http::Version::HTTP_11;

    let probe = FakeProbe::new(tower_storage_guard::Reading::new(1 << 50, FREE));
    let disk = Resource::builder(NAME, probe)
        .floor(tower_storage_guard::Floor::NONE)
        .manual(ManualClock::new());
    let layer = StorageGuardLayer::builder()
        .resource(disk.build().unwrap())
        .max_body(1 << 30)
        .temporary_status(status)
        .classifier(|_: &http::request::Parts| tower_storage_guard::Class::Stores)
        .build()
        .unwrap();
    let mut service = layer.layer(service_fn(|request: Request<Guarded<ScriptedBody>>| {
        let _ = at_once(request.into_body().collect());
        ready(Ok::<_, Infallible>(Response::new(Ready::default())))
    }));
    let body = if is_late {
        (0..8).fold(ScriptedBody::new(), |body, _| body.data(1 << 20))
    } else {
        ScriptedBody::new().telling_length(length)
    };
    let mut request = request.map(|()| body);
    if is_late {
        [
            "content-length",
            "upload-length",
            "x-expected-entity-length",
            "oc-total-length",
        ]
        .into_iter()
        .chain(["x-amz-decoded-content-length"])
        .for_each(|name| _ = request.headers_mut().remove(name));
    }
    let response = at_once(service.call(request)).unwrap();
    let refusal = response.extensions().get::<Refusal>().expect("a refusal");
    assert_eq!((refusal.reason(), refusal.is_mid_stream()), (reason, is_late));
    let is_permanent = refusal.is_permanent();
    let (parts, body) = response.into_parts();
    let body = at_once(body.collect()).unwrap().to_bytes();

    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .map_or("", |value| value.to_str().unwrap());
    let plain = if is_permanent {
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        expected
    };
    match content_type {
        text if text.starts_with("application/grpc") || text.starts_with("application/connect+") => {
            assert_eq!(parts.status, StatusCode::OK);
        }
        "application/x-protobuf" => {}
        // OTLP and Connect have statuses of their own.
        text if text.contains("json") => {
            serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
        }
        text if text.starts_with("text/html") => assert!(body.starts_with(b"<!doctype html>")),
        text if text.contains("xml") => {
            assert!(body.starts_with(b"<?xml") && body.trim_ascii_end().ends_with(b">"));
            // S3 spells 413 as 400.
            let is_s3 = body.windows(7).any(|word| word == b"<Error>");
            let expected = if is_s3 && is_permanent {
                StatusCode::BAD_REQUEST
            } else {
                plain
            };
            assert_eq!(parts.status, expected);
        }
        text => {
            assert!(text.starts_with("text/plain") || body.is_empty(), "{text}");
            assert_eq!(parts.status, plain);
        }
    }
    if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
        assert_eq!(length.to_str().unwrap(), body.len().to_string());
    }
    assert!(!(is_permanent && parts.headers.contains_key(header::RETRY_AFTER)));
    assert!(is_http1 || !parts.headers.contains_key(header::CONNECTION));
    // Nothing that is nobody's business.
    let told = [
        format!("{:?}", parts.headers),
        String::from_utf8_lossy(&body).into_owned(),
    ]
    .concat();
    for secret in [NAME, "7654321", "7654322"] {
        assert!(!told.contains(secret), "{told}");
    }
});
