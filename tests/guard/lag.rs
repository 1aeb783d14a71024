//! Disks that show writes late: closed bytes stay held until they can show, and not for ever.

use std::time::Duration;

use tower::{Layer, service_fn};
use tower_storage_guard::{Reading, test_util::FakeResource};

use crate::support::*;

const LAG: Duration = Duration::from_secs(30);
const TOTAL: u64 = 1 << 40;

fn lagging() -> FakeResource {
    FakeResource::with(Reading::new(TOTAL, TOTAL).with_lag(LAG), |builder| builder)
}

/// Sends an upload of a thousand bytes and takes a reading, again and again, for so long. Tells the most that was unseen.
async fn steady_traffic(disk: &FakeResource, every: Duration, time: Duration) -> u64 {
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let mut most = 0;
    for _ in 0..time.as_millis() / every.as_millis() {
        assert_eq!(status(&service, zeros(1000)).await, 200);
        disk.clock().advance(every);
        most = most.max(disk.sample().unseen);
    }
    most
}

#[tokio::test]
async fn steady_traffic_is_seen_after_the_lag() {
    for every in [10, 250, 400, 1000, 5000].map(Duration::from_millis) {
        let disk = lagging();
        let most = steady_traffic(&disk, every, 10 * LAG).await;
        // The bytes of one lag, and as much again because closed bytes are grouped.
        let within = 1000 * (LAG.as_millis() / every.as_millis()) as u64;
        assert!(most >= within, "every {every:?}: {most} bytes are held for {within}");
        assert!(
            most <= 2 * within + 2000,
            "every {every:?}: {most} bytes are held for {within}"
        );
        disk.clock().advance(2 * LAG);
        let report = disk.sample();
        assert_eq!((report.unseen, report.headroom), (0, TOTAL as i64), "every {every:?}");
    }
}

/// The room of a large upload comes back although small ones go on.
#[tokio::test]
async fn large_upload_is_seen_beside_small_ones() {
    const LARGE: u64 = 1 << 30;
    let disk = lagging();
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let large = (0..1024).fold(chunks(&[]), |body, _| body.data(1 << 20));
    assert_eq!(status(&service, large.telling_length(LARGE)).await, 200);
    assert_eq!(disk.report().unseen, LARGE);
    steady_traffic(&disk, Duration::from_millis(250), 3 * LAG).await;
    let unseen = disk.report().unseen;
    assert!(unseen < LARGE, "{unseen} bytes are held");
}
