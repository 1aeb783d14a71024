//! Readiness, and health checks that wait for nothing.

use http::Request;
use tower_storage_guard::{
    FailurePolicy, Floor, HealthService, Monitor, Readiness, ReadinessHandle, Reading, Resource, StorageGuardLayer,
    test_util::{FakeProbe, FakeResource},
};

use crate::support::ask;

async fn readiness(monitor: &Monitor) -> (u16, String) {
    let service = HealthService::readiness(monitor.readiness());
    let (head, words) = ask(service, Request::new(())).await;
    assert_eq!(head.headers["cache-control"], "no-store");
    (head.status.as_u16(), words)
}

fn watched(report_only: bool) -> (FakeResource, StorageGuardLayer, Monitor) {
    let disk = FakeResource::with(Reading::new(1000, 500), |builder| {
        builder
            .floor(Floor::bytes(100))
            .near(Floor::bytes(100))
            .on_probe_failure(FailurePolicy::Closed)
    });
    let layer = StorageGuardLayer::builder()
        .resource(disk.resource())
        .report_only(report_only)
        .build()
        .expect("valid");
    let monitor = Monitor::builder().layer("a", &layer).manual().build().expect("valid");
    (disk, layer, monitor)
}

#[tokio::test]
async fn says_ready_near_and_full() {
    let (disk, _layer, monitor) = watched(false);
    assert_eq!(readiness(&monitor).await, (200, "ready\n".to_owned()));
    disk.probe().set_available(200);
    disk.sample();
    assert_eq!(readiness(&monitor).await, (200, "near\n".to_owned()));
    disk.probe().set_available(100);
    disk.sample();
    assert_eq!(readiness(&monitor).await, (503, "full\n".to_owned()));
    let (alive, words) = ask(HealthService::liveness(), Request::new(())).await;
    assert_eq!((alive.status.as_u16(), &*words), (200, "alive\n"));
}

#[tokio::test]
async fn whatever_refuses_everything_is_full() {
    let (disk, _layer, monitor) = watched(false);
    for reading in [
        Reading::new(1000, 900).with_writable(false),
        Reading::new(1000, 900).with_inodes(10, 0),
    ] {
        disk.probe().set(reading);
        disk.sample();
        assert_eq!(monitor.readiness().now(), Readiness::Full, "{reading:?}");
    }
    disk.probe().set(Reading::new(1000, 900));
    disk.sample();
    assert_eq!(monitor.readiness().now(), Readiness::Ready);
    disk.probe().fail("a cable");
    disk.sample();
    assert_eq!(monitor.readiness().now(), Readiness::Full, "closed while nobody knows");
}

#[tokio::test]
async fn who_only_reports_is_not_taken_out_of_service() {
    let (disk, layer, monitor) = watched(true);
    disk.probe().set_available(0);
    disk.sample();
    assert_eq!(readiness(&monitor).await, (200, "full\n".to_owned()));
    layer
        .live_settings()
        .update(|settings| settings.layer = settings.layer.report_only(false))
        .expect("valid");
    assert_eq!(readiness(&monitor).await.0, 503);
}

#[tokio::test]
async fn a_probe_that_hangs_holds_up_no_check() {
    let probe = FakeProbe::new(Reading::new(1000, 500));
    let disk = Resource::builder("slow", probe.clone())
        .floor(Floor::NONE)
        .build()
        .expect("measures");
    probe.hang();
    let asked = probe.measurements();
    disk.kick();
    while probe.measurements() == asked {
        std::thread::yield_now();
    }
    // It hangs now; were it waited for, this would never return.
    let service = HealthService::readiness(ReadinessHandle::new([disk]));
    let (head, words) = ask(service, Request::new(())).await;
    assert_eq!((head.status.as_u16(), &*words), (200, "ready\n"));
    probe.set_available(500);
}

#[test]
fn the_worst_of_all_counts_and_of_none_is_ready() {
    let full = FakeResource::new(10, 0);
    let empty = FakeResource::new(10, 10);
    let both = ReadinessHandle::new([empty.resource(), full.resource()]);
    assert_eq!(both.now(), Readiness::Full);
    assert!(both.refuses());
    assert_eq!(ReadinessHandle::new([empty.resource()]).now(), Readiness::Ready);
    assert_eq!(ReadinessHandle::new([]).now(), Readiness::Ready);
}

#[test]
fn names_must_differ() {
    let (one, other) = (FakeResource::new(10, 0), FakeResource::new(10, 0));
    let error = Monitor::builder()
        .resource(one.resource())
        .resource(other.resource())
        .build()
        .expect_err("both are `fake`");
    assert!(
        error.to_string().contains("`fake` twice") && error.setting() == "resource",
        "{error}"
    );
    let layer = StorageGuardLayer::builder().max_body(1).build().expect("valid");
    let error = Monitor::builder()
        .layer("a", &layer)
        .layer("a", &layer)
        .build()
        .expect_err("both are `a`");
    assert_eq!(error.setting(), "layer");
    Monitor::builder()
        .resource(one.resource())
        .resource(one.resource())
        .build()
        .expect("the same one twice is one");
}
