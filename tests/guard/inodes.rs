//! Where few inodes are left, each request takes one of every resource, and gives it back where nothing was written.

use tower::{Layer, service_fn};
use tower_storage_guard::{Charge, Reading, StorageGuardLayer, test_util::FakeResource};

use crate::support::*;

fn disk_with(inodes: u64) -> FakeResource {
    FakeResource::with(reading(inodes), |builder| builder)
}

fn reading(inodes: u64) -> Reading {
    Reading::new(1000, 1000).with_inodes(u64::MAX, inodes)
}

#[tokio::test]
async fn whichever_resource_is_short_of_them() {
    for (first, second) in [(1, 5), (5, 1), (1, 1)] {
        let (first, second) = (disk_with(first), disk_with(second));
        let layer = guarding(first.resource()).resource(second.resource()).build().unwrap();
        let unread = layer.layer(service_fn(reads_nothing));
        for _ in 0..4 {
            assert_eq!(status(&unread, zeros(1)).await, 200, "the last one came back");
        }
        let read = layer.layer(service_fn(reads_all));
        assert_eq!(status(&read, zeros(1)).await, 200);
        assert_eq!(status(&read, zeros(1)).await, 507, "a file was made");
    }
}

#[tokio::test]
async fn what_another_resource_refuses_takes_none() {
    let (few, small) = (disk_with(2), FakeResource::new(1000, 500));
    let layer = guarding(few.resource()).resource(small.resource()).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    for _ in 0..3 {
        assert_eq!(status(&service, zeros(501)).await, 507);
    }
    for expected in [200, 200, 507] {
        assert_eq!(status(&service, zeros(1)).await, expected);
    }
}

#[tokio::test]
async fn of_a_resource_that_has_plenty_none_is_given_back_that_was_not_taken() {
    let (plenty, few) = (disk_with(1 << 30), disk_with(100));
    let layer = guarding(plenty.resource()).resource(few.resource()).build().unwrap();
    let unread = layer.layer(service_fn(reads_nothing));
    for _ in 0..5 {
        assert_eq!(status(&unread, zeros(1)).await, 200);
    }
    plenty.probe().set(reading(2));
    plenty.sample();
    let read = layer.layer(service_fn(reads_all));
    for expected in [200, 200, 507] {
        assert_eq!(status(&read, zeros(1)).await, expected);
    }
}

#[tokio::test]
async fn only_of_what_bodies_land_on_whole() {
    for (charge, second) in [(Charge::All, 507), (Charge::Window(10), 200), (Charge::Nothing, 200)] {
        let disk = disk_with(1);
        let layer = StorageGuardLayer::builder().resource_charged(disk.resource(), charge);
        let service = layer.build().unwrap().layer(service_fn(reads_all));
        for expected in [200, second] {
            assert_eq!(status(&service, zeros(1)).await, expected, "{charge:?}");
        }
    }
}
