//! Settings that change while requests are under way.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use tower::{Layer, service_fn};
use tower_storage_guard::{
    Event, FailurePolicy, Floor, LiveSettings, Reading, Reason, Settings, State, StorageGuardLayer, WriteBuffer,
    test_util::FakeResource,
};

use crate::support::*;

#[tokio::test]
async fn a_changed_floor_counts_at_once() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    let live = layer.live_settings();
    let floor = |bytes| {
        live.update(|settings| {
            let disk = settings.resource_mut("fake").expect("it is there");
            *disk = disk.floor(Floor::bytes(bytes));
        })
        .expect("valid");
    };

    assert_eq!(status(&service, zeros(300)).await, 200);
    floor(900);
    assert_eq!(disk.report().headroom, 100 - 300, "what is held stays held");
    assert_eq!(disk.report().unseen, 300);
    assert_eq!(status(&service, zeros(1)).await, 507);
    floor(600);
    assert_eq!(status(&service, zeros(100)).await, 200);
    assert_eq!(status(&service, zeros(1)).await, 507);

    // The next reading starts from the floor of now, not from that of the last one.
    disk.probe().set_available(600);
    assert_eq!(disk.sample().headroom, 0);
    floor(0);
    assert_eq!(disk.report().headroom, 600);
    assert_eq!(disk.sample().headroom, 600);
    assert_eq!(status(&service, zeros(1_000_001)).await, 413);
}

#[test]
fn states_and_ceilings_follow_at_once() {
    let disk = FakeResource::with(Reading::new(1000, 500), |builder| {
        builder.near(Floor::bytes(100)).exit_margin(Floor::bytes(50))
    });
    let resource = disk.resource();
    let floor = |bytes| {
        let settings = resource.settings().floor(Floor::bytes(bytes));
        resource.reconfigure(settings).expect("valid");
        let report = resource.report();
        (report.state, report.closed, report.floor)
    };
    assert_eq!(floor(500), (State::Full, true, 500));
    assert_eq!(
        floor(450),
        (State::Near, false, 450),
        "without the exit margin or a dwell"
    );
    assert_eq!(floor(10), (State::Ok, false, 10));
}

#[tokio::test]
async fn inodes_have_a_floor_that_can_be_changed() {
    let disk = FakeResource::with(Reading::new(1000, 1000).with_inodes(100, 10), |builder| builder);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let resource = disk.resource();
    assert_eq!(status(&service, zeros(1)).await, 200);
    resource.reconfigure(resource.settings().inode_floor(8)).expect("valid");
    assert_eq!(status(&service, zeros(1)).await, 200);
    assert_eq!(
        status(&service, zeros(1)).await,
        507,
        "two of ten are held, eight stay free"
    );
    disk.sample();
    resource
        .reconfigure(resource.settings().inode_floor(10))
        .expect("valid");
    assert_eq!(status(&service, zeros(1)).await, 507);
    resource.reconfigure(resource.settings().inode_floor(0)).expect("valid");
    assert_eq!(status(&service, zeros(1)).await, 200);
}

#[tokio::test]
async fn a_changed_policy_counts_at_once() {
    let disk = disk(1000);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    disk.probe().fail("a cable");
    disk.sample();
    let resource = disk.resource();
    for (policy, expected) in [
        (FailurePolicy::Closed, 503),
        (FailurePolicy::Open, 200),
        (FailurePolicy::default(), 200),
        (FailurePolicy::Closed, 503),
    ] {
        resource
            .reconfigure(resource.settings().on_probe_failure(policy))
            .expect("valid");
        assert_eq!(status(&service, zeros(1)).await, expected, "{policy:?}");
    }
}

#[tokio::test]
async fn limits_and_the_mode_change_together() {
    let disk = disk(1000);
    let layer = guarding(disk.resource()).max_body(10).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    let live = layer.live_settings();
    assert_eq!(status(&service, zeros(11)).await, 413);
    live.update(|settings| settings.layer = settings.layer.report_only(true))
        .expect("valid");
    assert_eq!(status(&service, zeros(11)).await, 200);
    assert!(layer.report().report_only);
    live.update(|settings| {
        settings.layer = settings.layer.report_only(false).max_body(None).require_length(true);
    })
    .expect("valid");
    assert_eq!(status(&service, zeros(11)).await, 200);
    assert_eq!(status(&layer.layer(service_fn(reads_all)), chunks(&[1])).await, 411);

    let report = layer.report();
    assert!(!report.report_only);
    let told = |counts: &tower_storage_guard::RefusalCounts| -> Vec<_> {
        counts.by_reason().filter(|(_, count)| *count > 0).collect()
    };
    assert_eq!(
        told(&report.refused),
        [(Reason::TooLarge, 1), (Reason::LengthRequired, 1)]
    );
    assert_eq!(told(&report.would_be_refused), [(Reason::TooLarge, 1)]);
    assert_eq!(report.admitted, 1);
}

#[test]
fn what_is_invalid_changes_nothing() {
    let layer = guarding(disk(1000).resource()).max_body(10).build().unwrap();
    let live = layer.live_settings();
    let before = live.current();
    let error = live
        .update(|settings| {
            settings.layer = settings.layer.report_only(true).max_body(Some(5));
            for (_, resource) in settings.resources_mut() {
                *resource = resource.floor(Floor::percent(120.0));
            }
        })
        .expect_err("120 %");
    assert_eq!(error.setting(), "floor");
    assert!(error.to_string().contains("120 %"), "{error}");
    assert_eq!(live.current(), before, "not even what was valid");

    let error = live
        .update(|settings| settings.layer = settings.layer.minimum_charge(11))
        .expect_err("above the largest body");
    assert_eq!(error.setting(), "minimum_charge");
    let resource = disk(10).resource();
    let settings = resource.settings().max_age(std::time::Duration::ZERO);
    assert_eq!(
        resource.reconfigure(settings).expect_err("no time").setting(),
        "max_age"
    );

    let other = StorageGuardLayer::builder().max_body(1).build().unwrap();
    let error = live
        .apply(&other.live_settings().current())
        .expect_err("without the resource");
    assert_eq!(error.setting(), "resources");
    let error = other
        .live_settings()
        .update(|settings| settings.layer = settings.layer.max_body(None))
        .expect_err("nothing to guard");
    assert_eq!(error.setting(), "resource");
    let off = StorageGuardLayer::builder().enabled(false).build().unwrap();
    off.live_settings()
        .update(|settings| settings.layer = settings.layer.report_only(true))
        .expect("there need not be anything to guard");
    assert_eq!(live.current(), before);
}

/// An observer that makes room when the disk is full, on its own thread and on another, while the full disk is itself
/// reported by a change of settings.
#[test]
fn observers_may_change_settings() {
    for elsewhere in [false, true] {
        let handle = Arc::new(OnceLock::<LiveSettings>::new());
        let live = handle.clone();
        let disk = FakeResource::with(Reading::new(1000, 500), |builder| {
            builder.observer(move |event: &Event<'_>| {
                if let (Event::StateChanged { to: State::Full, .. }, Some(live)) = (event, live.get()) {
                    let make_room = || set_floor(live, 0);
                    if elsewhere {
                        thread::scope(|scope| scope.spawn(make_room).join().expect("changed"));
                    } else {
                        make_room();
                    }
                }
            })
        });
        let layer = guarding(disk.resource()).build().unwrap();
        let live = handle.get_or_init(|| layer.live_settings()).clone();
        returns_in_time(move || set_floor(&live, 900));
        assert_eq!(disk.report().floor, 0);

        // By a reading.
        disk.probe().set_available(0);
        let sampled = disk.clone();
        returns_in_time(move || {
            sampled.sample();
        });
    }
}

/// Two layers on one disk, and a change that changes what it began with.
#[test]
fn changes_may_be_nested() {
    let disk = disk(1000);
    let [outer, inner] = [10, 20].map(|max| guarding(disk.resource()).max_body(max).build().unwrap().live_settings());
    let (changed, nested) = (outer.clone(), inner.clone());
    returns_in_time(move || {
        let change = |settings: &mut Settings| {
            set_floor(&nested, 7);
            settings.layer = settings.layer.max_body(Some(11));
        };
        changed.update(change).expect("valid");
    });
    assert_eq!(disk.report().floor, 7, "the outer change does not undo the inner one");
    assert_eq!(outer.current().layer, inner.current().layer.max_body(Some(11)));
}

#[test]
fn concurrent_updates_lose_none() {
    const UPDATES: u64 = 2000;
    let disk = disk(1000);
    let resource = disk.resource();
    let layers = [(); 2].map(|()| guarding(disk.resource()).build().unwrap().live_settings());
    thread::scope(|scope| {
        for live in &layers {
            scope.spawn(|| {
                for _ in 0..UPDATES {
                    live.update(|settings| {
                        let disk = settings.resource_mut("fake").expect("it is there");
                        *disk = disk.floor(Floor::bytes(resource.report().floor + 1));
                    })
                    .expect("valid");
                }
            });
        }
    });
    assert_eq!(disk.report().floor, 2 * UPDATES);
}

fn set_floor(live: &LiveSettings, bytes: u64) {
    live.update(|settings| {
        let disk = settings.resource_mut("fake").expect("it is there");
        *disk = disk.floor(Floor::bytes(bytes));
    })
    .expect("valid");
}

fn returns_in_time(call: impl FnOnce() + Send + 'static) {
    let (done, returned) = mpsc::channel();
    thread::spawn(move || {
        call();
        let _ = done.send(());
    });
    returned.recv_timeout(Duration::from_secs(10)).expect("it returns");
}

/// Four threads send while another one changes everything that can be changed. In the end every request has its answer,
/// and the account has every byte back.
#[test]
fn changes_under_load_lose_no_request_and_no_hold() {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 4000;
    let disk = disk(500_000);
    let layer = guarding(disk.resource()).build().unwrap();
    let live = layer.live_settings();
    let (admitted, refused, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let senders: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .expect("a runtime");
                    runtime.block_on(async {
                        let service = layer.layer(service_fn(reads_all));
                        let streaming = layer.layer(service_fn(reads_all));
                        for n in 0..REQUESTS {
                            let status = if n % 2 == 0 {
                                status(&service, zeros(700)).await
                            } else {
                                status(&streaming, chunks(&[200, 200, 300])).await
                            };
                            match status.as_u16() {
                                200 => admitted.fetch_add(1, Relaxed),
                                413 | 507 => refused.fetch_add(1, Relaxed),
                                other => panic!("{other}"),
                            };
                        }
                    });
                })
            })
            .collect();
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Relaxed) {
                n += 1;
                live.update(|settings| {
                    settings.layer = settings
                        .layer
                        .max_body((n % 3 == 0).then_some(600))
                        .report_only(n % 5 == 0)
                        .write_buffer(if n % 2 == 0 {
                            WriteBuffer::Whole
                        } else {
                            WriteBuffer::Bytes(0)
                        });
                    let disk = settings.resource_mut("fake").expect("it is there");
                    *disk = disk.floor(Floor::bytes(n % 7 * 100_000));
                })
                .expect("valid");
                disk.sample();
            }
        });
        let failed: Vec<_> = senders.into_iter().filter_map(|sender| sender.join().err()).collect();
        done.store(true, Relaxed);
        assert!(failed.is_empty());
    });
    let (admitted, refused) = (admitted.into_inner(), refused.into_inner());
    assert_eq!(admitted + refused, THREADS * REQUESTS);
    let report = layer.report();
    assert_eq!(report.refused.total(), refused);
    assert_eq!(
        report.admitted - report.refused.mid_stream() - report.would_be_refused.mid_stream()
            + report.would_be_refused.total(),
        admitted,
        "{report:?}"
    );
    assert!(
        admitted > 0 && refused > 0,
        "{admitted} {refused}: this test has gone blind"
    );

    let resource = disk.resource();
    resource
        .reconfigure(resource.settings().floor(Floor::bytes(1)))
        .expect("valid");
    let report = disk.sample();
    assert_eq!((report.held, report.unseen, report.headroom), (0, 0, 499_999));
}
