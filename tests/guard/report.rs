//! What a layer has counted.

use http::Response;
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{Guarded, Linger, Reason, StorageFailure, test_util::ScriptedBody};

use crate::support::*;

#[tokio::test]
async fn admitted_refused_mid_stream_and_late() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    assert_eq!((layer.report().admitted, layer.report().late_failures), (0, 0));
    let service = layer.layer(service_fn(reads_all));
    assert_eq!(status(&service, zeros(10)).await, 200);
    assert_eq!(status(&service, zeros(1001)).await, 507);
    assert_eq!(
        status(&layer.layer(service_fn(reads_all)), chunks(&[600, 600])).await,
        507
    );
    let full = layer.layer(service_fn(|_: http::Request<Guarded<Full<bytes::Bytes>>>| async {
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let mut response = Response::new(Full::default());
        response
            .extensions_mut()
            .insert(StorageFailure::from_error(&error).expect("full"));
        Ok::<_, BoxError>(response)
    }));
    assert_eq!(status(&full, zeros(1)).await, 507);
    let exempt = http::Request::get("/").body(zeros(0)).unwrap();
    service.oneshot(exempt).await.expect("answers");

    let report = layer.report();
    assert_eq!(
        report.admitted, 3,
        "those that were refused later, and not the exempt one"
    );
    assert_eq!(report.refused.total(), 3);
    assert_eq!(report.refused.mid_stream(), 2);
    assert_eq!(report.late_failures, 1);
    let space = report.refused.by_reason().find(|(reason, _)| *reason == Reason::Space);
    assert_eq!(space, Some((Reason::Space, 3)));
    assert_eq!(report.would_be_refused.total(), 0);
}

#[tokio::test]
async fn connections_that_are_kept_and_those_that_are_not() {
    let layer = guarding(disk(0).resource())
        .linger(Linger::default().connections(2))
        .build()
        .unwrap();
    for _ in 0..5 {
        let body = ScriptedBody::new().hang().telling_length(900_000);
        assert_eq!(status(&layer.layer(service_fn(reads_all)), body).await, 507);
    }
    let report = layer.report();
    assert_eq!((report.lingering, report.lingered, report.linger_overflow), (2, 2, 3));
}
