//! Which requests are looked at, and what they count.

use http::{Request, request::Parts};
use tower::{Layer, ServiceExt, service_fn};
use tower_storage_guard::{Class, Classifier, DefaultClassifier, Reading, SizeModel, test_util::FakeResource};

use crate::support::*;

async fn status_of<S>(service: &S, method: &str, bytes: usize) -> u16
where
    S: tower::Service<Request<http_body_util::Full<bytes::Bytes>>, Response = Answer, Error: std::fmt::Debug> + Clone,
{
    let request = Request::builder()
        .method(method)
        .uri("/search")
        .body(zeros(bytes))
        .unwrap();
    service.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn cleaning_up_works_when_all_is_full() {
    let disk = disk(0);
    disk.probe().fail("and nobody knows");
    disk.sample();
    let service = guarding(disk.resource())
        .max_body(1)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    for method in ["DELETE", "MOVE", "UNLOCK", "GET", "PROPFIND"] {
        assert_eq!(status_of(&service, method, 500).await, 200, "{method}");
    }
    assert_eq!(status_of(&service, "PUT", 500).await, 413);
    assert_eq!(disk.report().headroom, 0, "exempt requests are not counted");
}

#[tokio::test]
async fn what_creates_something_needs_room_for_it() {
    let blocks = FakeResource::with(Reading::new(100 * 4096, 4095).with_block_size(4096), |builder| builder);
    let service = guarding(blocks.resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    for method in ["MKCOL", "COPY", "POST", "PUT"] {
        assert_eq!(
            status_of(&service, method, 0).await,
            507,
            "{method}: not a single block is left"
        );
    }
    let disk = disk(100);
    let service = guarding(disk.resource())
        .minimum_charge(60)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    assert_eq!(status_of(&service, "MKCOL", 0).await, 200);
    assert_eq!(
        disk.report().headroom,
        40,
        "held although it has no body: the handler wrote something"
    );
    assert_eq!(status_of(&service, "PUT", 1).await, 507);
}

#[tokio::test]
async fn a_classifier_of_ones_own() {
    let classifier = |parts: &Parts| match parts.uri.path() {
        "/search" => Class::Exempt,
        _ => DefaultClassifier.classify(parts),
    };
    let service = guarding(disk(0).resource())
        .classifier(classifier)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    assert_eq!(status_of(&service, "POST", 500).await, 200);
    assert_eq!(status(&service, zeros(500)).await, 507);
}

#[tokio::test]
async fn a_size_model_counts_what_is_really_stored() {
    let disk = FakeResource::with(Reading::new(1 << 30, 100 << 10).with_block_size(4096), |builder| {
        builder
    });
    let model = SizeModel::default().factor(2.0).overhead(1);
    let service = guarding(disk.resource())
        .size_model(model)
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    assert!(status(&service, zeros(10_000)).await.is_success());
    assert_eq!(
        disk.report().unseen,
        20_480 + 4096 - 4096,
        "20,001 bytes in blocks of 4096"
    );
}

#[tokio::test]
async fn a_disabled_layer_does_nothing() {
    let layer = guarding(disk(0).resource()).max_body(1).enabled(false).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    assert!(status(&service, zeros(500)).await.is_success());
}
