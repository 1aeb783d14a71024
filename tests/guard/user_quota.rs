//! `EDQUOT` is about one user of the disk, `ENOSPC` about the disk.

use std::io::{self, ErrorKind};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{Guarded, Reason, StorageFailure, StorageGuardLayer, test_util::FakeResource};

use crate::support::*;

type Body = Full<bytes::Bytes>;

/// How a handler reports its error.
#[derive(Clone, Copy, Debug)]
enum Reported {
    InExtensions,
    AsError,
}

/// Sends ten bytes to a handler whose write fails so.
async fn fails_with(layer: &StorageGuardLayer, kind: ErrorKind, reported: Reported) -> Answer {
    let handler = move |request: Request<Guarded<Body>>| async move {
        request.into_body().collect().await?;
        let error = io::Error::from(kind);
        match reported {
            Reported::AsError => Err(BoxError::from(error)),
            Reported::InExtensions => {
                let mut response = Response::new(Full::default());
                let failure = StorageFailure::from_error(&error).unwrap();
                response.extensions_mut().insert(failure);
                Ok(response)
            }
        }
    };
    layer.layer(service_fn(handler)).oneshot(put(zeros(10))).await.unwrap()
}

#[tokio::test]
async fn exceeded_user_quota_closes_nothing_for_others() {
    for reported in [Reported::InExtensions, Reported::AsError] {
        let disk = FakeResource::new(2000, 1000);
        let layer = guarding(disk.resource()).build().unwrap();
        let response = fails_with(&layer, ErrorKind::QuotaExceeded, reported).await;
        let told = (response.status().as_u16(), reason(&response));
        assert_eq!(told, (507, Some(Reason::Quota)), "{reported:?}");
        assert!(!response.headers().contains_key("retry-after"), "waiting does not help");

        let report = disk.report();
        assert!(!report.closed, "{reported:?}");
        assert_eq!(
            (report.headroom, report.unseen, report.held),
            (990, 10, 0),
            "{reported:?}"
        );
        let others = layer.layer(service_fn(reads_all));
        assert_eq!(status(&others, zeros(990)).await, 200, "{reported:?}");
        assert_eq!(layer.report().late_failures, 1);
    }
}

#[tokio::test]
async fn full_disk_closes_until_the_next_reading() {
    for reported in [Reported::InExtensions, Reported::AsError] {
        let disk = FakeResource::new(2000, 1000);
        let layer = guarding(disk.resource()).build().unwrap();
        let response = fails_with(&layer, ErrorKind::StorageFull, reported).await;
        let told = (response.status().as_u16(), reason(&response));
        assert_eq!(told, (507, Some(Reason::Space)), "{reported:?}");

        assert!(disk.report().closed, "{reported:?}");
        let others = layer.layer(service_fn(reads_all));
        assert_eq!(status(&others, zeros(1)).await, 507, "{reported:?}");
        disk.sample();
        assert!(!disk.report().closed);
        assert_eq!(status(&others, zeros(1)).await, 200, "{reported:?}");
    }
}

/// A user over quota is no sign that the disk has room again.
#[tokio::test]
async fn exceeded_user_quota_leaves_a_full_disk_closed() {
    let disk = FakeResource::new(2000, 1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let second = layer.layer(service_fn(|request: Request<Guarded<Body>>| async move {
        request.into_body().collect().await?;
        tokio::task::yield_now().await;
        Err::<Response<Body>, BoxError>(io::Error::from(ErrorKind::QuotaExceeded).into())
    }));
    let mut second = Box::pin(second.oneshot(put(zeros(10))));
    assert!(futures_util::poll!(&mut second).is_pending());
    fails_with(&layer, ErrorKind::StorageFull, Reported::AsError).await;
    let response = second.await.unwrap();
    assert_eq!(reason(&response), Some(Reason::Quota));
    assert!(disk.report().closed);
}
