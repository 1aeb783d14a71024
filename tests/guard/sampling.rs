//! When a resource is measured out of turn, and what readings alone do not cause.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tower::{Layer, service_fn};
use tower_storage_guard::{
    Charge, Event, Floor, Reading, Resource, ResourceBuilder, StorageGuardLayer, WriteBuffer, test_util::FakeResource,
};

use crate::support::*;

const TOTAL: u64 = 1 << 40;

/// A resource that reports each measurement.
fn counted(available: u64) -> (ResourceBuilder, mpsc::Receiver<()>) {
    let (sender, measured) = mpsc::channel();
    let probe = move || {
        let _ = sender.send(());
        Ok::<_, std::io::Error>(Reading::new(TOTAL, available))
    };
    (Resource::builder("counted", probe).floor(Floor::NONE), measured)
}

/// A resource that is measured once an hour, and a receiver of each measurement. The first ones are over.
fn hourly(available: u64) -> (Resource, mpsc::Receiver<()>) {
    let (builder, measured) = counted(available);
    let hour = Duration::from_secs(3600);
    let builder = builder
        .interval(hour)
        .min_interval(Duration::from_millis(10))
        .max_age(10 * hour);
    let resource = builder.build().unwrap();
    // By `build`, and soon after.
    for _ in 0..2 {
        measured.recv().unwrap();
    }
    (resource, measured)
}

#[track_caller]
fn is_measured(measured: &mpsc::Receiver<()>) {
    let patience = Duration::from_secs(60);
    measured.recv_timeout(patience).expect("an hour is too long");
}

#[test]
fn a_kick_does_not_wait_for_the_next_turn() {
    let (resource, measured) = hourly(TOTAL);
    resource.kick();
    is_measured(&measured);
}

#[test]
fn a_measurement_that_begins_now_can_be_waited_for() {
    let (resource, measured) = hourly(500);
    assert_eq!(resource.sample_now().unwrap().headroom, 500);
    measured.try_recv().expect("it was taken meanwhile");
}

#[tokio::test]
async fn neither_does_much_that_was_closed() {
    let (resource, measured) = hourly(TOTAL);
    let layer = guarding(resource).write_buffer(WriteBuffer::Bytes(0)).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    let megabytes = |count| chunks(&[1 << 20].repeat(count));
    assert_eq!(status(&service, megabytes(32)).await, 200);
    assert!(measured.try_recv().is_err(), "32 MiB can wait");
    assert_eq!(status(&service, megabytes(32)).await, 200);
    is_measured(&measured);
}

/// There may be room by now.
#[tokio::test]
async fn neither_does_a_refusal() {
    let (resource, measured) = hourly(100);
    let layer = guarding(resource).build().unwrap();
    let service = layer.layer(service_fn(reads_nothing));
    assert_eq!(status(&service, zeros(101)).await, 507);
    is_measured(&measured);
    let streamed = layer.layer(service_fn(reads_all));
    assert_eq!(status(&streamed, chunks(&[60, 60])).await, 507);
    is_measured(&measured);
}

/// A probe with a long interval may be expensive, so clients must not decide how often it runs.
#[tokio::test]
async fn refusals_do_not_drive_an_expensive_probe() {
    let (builder, measured) = counted(100);
    let minute = Duration::from_secs(60);
    let resource = builder.interval(minute).max_age(2 * minute).build().unwrap();
    let service = guarding(resource.clone())
        .build()
        .unwrap()
        .layer(service_fn(reads_nothing));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        assert_eq!(status(&service, zeros(101)).await, 507);
    }
    assert_eq!(measured.try_iter().count(), 1, "by `build`");
    resource.sample_now().unwrap();
    assert_eq!(measured.try_iter().count(), 1, "`sample_now` does not wait");
}

/// Memory that is used again, and a handler that overwrites files, close bytes that no reading ever shows.
#[tokio::test]
async fn steady_readings_cause_no_event() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let resource = FakeResource::with(Reading::new(TOTAL, TOTAL), |builder| {
        builder.observer(move |event: &Event<'_>| sink.lock().unwrap().push(format!("{event:?}")))
    });
    let layer = StorageGuardLayer::builder().resource_charged(resource.resource(), Charge::Window(1 << 20));
    let service = layer.build().unwrap().layer(service_fn(reads_all));
    for _ in 0..1000 {
        assert_eq!(status(&service, zeros(1 << 20)).await, 200);
        resource.sample();
    }
    assert_eq!(*events.lock().unwrap(), [""; 0]);
}
