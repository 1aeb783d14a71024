//! Where requests are given up: disks, ledgers and a layer.

use std::time::Duration;

use http::HeaderName;
use tower_storage_guard::{
    Leasing, Ledger, Limit, Reading, StorageGuardBuilder, StorageGuardLayer, TenantFrom, WriteBuffer,
    test_util::{FakeResource, FakeStore, ManualClock},
};

/// Free bytes of a disk with room.
pub(crate) const FREE: u64 = 100 << 20;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) layer: StorageGuardLayer,
    /// With what is free of them.
    pub(crate) disks: Vec<(FakeResource, i64)>,
    pub(crate) ledgers: Vec<Ledger>,
    pub(crate) store: Option<FakeStore>,
    pub(crate) clock: ManualClock,
    /// What was stored already.
    pub(crate) before: u64,
    /// Nothing is refused, and not everything held.
    pub(crate) reports_only: bool,
    pub(crate) store_fails: bool,
}

impl World {
    /// Leases go back, and what was stored is told.
    pub(crate) fn settle(&self) {
        if let Some(store) = &self.store {
            store.recover();
            for _ in 0..12 {
                self.clock.advance(Duration::from_secs(6));
                self.ledgers.iter().for_each(|ledger| while ledger.step() {});
            }
        }
    }
}

/// What a scene's world is made of.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) disks: Vec<u64>,
    pub(crate) limits: Vec<u64>,
    pub(crate) leased: Option<u64>,
    pub(crate) before: u64,
    pub(crate) store_fails: bool,
    pub(crate) report_only: bool,
    pub(crate) write_buffer: Option<u64>,
    /// Further settings of the layer.
    pub(crate) settings: Option<fn(StorageGuardBuilder) -> StorageGuardBuilder>,
}

pub(crate) fn world(parts: Parts) -> World {
    let clock = ManualClock::new();
    let mut builder = StorageGuardLayer::builder().report_only(parts.report_only);
    if let Some(settings) = parts.settings {
        builder = settings(builder);
    }
    if let Some(bytes) = parts.write_buffer {
        builder = builder.write_buffer(WriteBuffer::Bytes(bytes));
    }
    let mut disks = Vec::new();
    for &free in &parts.disks {
        let reading = Reading::new(1 << 40, free).with_inodes(1000, 10);
        let disk = FakeResource::with(reading, |builder| builder);
        builder = builder.resource(disk.resource());
        disks.push((disk, free as i64));
    }
    let mut ledgers = Vec::new();
    for &limit in &parts.limits {
        let ledger = Ledger::builder().default_limit(Limit::bytes(limit));
        ledgers.push(ledger.build().unwrap());
    }
    let store = parts.leased.map(|limit| {
        let store = FakeStore::new().with_clock(&clock);
        let leasing = Leasing::new(store.clone()).node("here").chunk(256 << 10);
        let ledger = Ledger::builder().name("leased").default_limit(Limit::bytes(limit));
        ledgers.push(ledger.leasing(leasing).manual(clock.clone()).build().unwrap());
        store
    });
    for ledger in &ledgers {
        let key = TenantFrom::header(HeaderName::from_static("x-tenant"));
        builder = builder.tenant(ledger.clone(), key);
        ledger.charge("t", parts.before);
    }
    let world = World {
        layer: builder.build().unwrap(),
        disks,
        ledgers,
        store,
        clock,
        before: parts.before,
        reports_only: parts.report_only,
        store_fails: parts.store_fails,
    };
    world.settle();
    world
}
