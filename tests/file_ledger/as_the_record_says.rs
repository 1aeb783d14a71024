//! The file answers as the pure function does, whenever it is closed and opened again.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tower_storage_guard::{FileStore, LeaseStore, Limit, Record, Seed, SyncReply, SyncRequest, test_util::ManualClock};

use crate::support::{open, report, sync, synced};

const TENANTS: [&str; 3] = ["a", "b", "ünïcode / \0"];
const NODES: [&str; 3] = ["n1", "n2", "n3"];

#[derive(Clone, Debug)]
enum Step {
    Sync(Vec<SyncRequest>),
    SetLimit(&'static str, Option<Limit>),
    Forget(&'static str),
    Wait(Duration),
    Reopen,
}

prop_compose! {
    fn seeds()(epoch in 1..4_u64, used in 0..100_u64, measured: bool) -> Seed {
        Seed::new(epoch, used, measured)
    }
}

fn limits() -> impl Strategy<Value = Limit> {
    prop_oneof![4 => (0..2000_u64).prop_map(Limit::bytes), 1 => Just(Limit::UNLIMITED)]
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![0..5_u64, 3500..3700_u64].prop_map(Duration::from_secs)
}

prop_compose! {
    fn requests()(
        tenant in prop::sample::select(&TENANTS[..]),
        node in prop::sample::select(&NODES[..]),
        (incarnation, sequence) in (0..3_u64, 0..30_u64),
        epoch in prop::option::of(1..4_u64),
        share in prop::option::of(-50..500_i64),
        (floor, need, chunk) in (0..300_u64, 0..300_u64, 0..1000_u64),
        limit in limits(),
        ttl in durations(),
        reap_after in prop::option::of(durations()),
        seed in prop::option::of(seeds()),
        leave in prop::bool::weighted(0.05),
    ) -> SyncRequest {
        let mut request = SyncRequest::new(tenant, node);
        request.incarnation = incarnation;
        request.sequence = sequence;
        request.epoch = epoch;
        request.share = share;
        request.floor = floor;
        request.need = need;
        request.chunk = chunk;
        request.limit = limit;
        request.ttl = ttl;
        request.reap_after = reap_after;
        request.seed = seed;
        request.leave = leave;
        request
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let tenant = || prop::sample::select(&TENANTS[..]);
    prop_oneof![
        12 => prop::collection::vec(requests(), 0..4).prop_map(Step::Sync),
        2 => (tenant(), prop::option::of(limits())).prop_map(|(tenant, limit)| Step::SetLimit(tenant, limit)),
        1 => tenant().prop_map(Step::Forget),
        3 => durations().prop_map(Step::Wait),
        1 => Just(Step::Reopen),
    ]
}

/// What the file should hold.
#[derive(Default)]
struct Model {
    records: BTreeMap<&'static str, Record>,
    limits: BTreeMap<&'static str, Limit>,
}

impl Model {
    fn sync(&mut self, request: &SyncRequest, now: Duration) -> SyncReply {
        let tenant = TENANTS
            .into_iter()
            .find(|tenant| **tenant == *request.tenant)
            .expect("one of them");
        let mut record = self.records.remove(tenant);
        let reply = Record::sync(&mut record, self.limits.get(tenant).copied(), request, now);
        self.records.extend(record.map(|record| (tenant, record)));
        reply
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_sequence(steps in prop::collection::vec(steps(), 1..60)) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger");
        let clock = ManualClock::new();
        let start = || {
            let clock = clock.clone();
            open(&path).with_clock(move || clock.elapsed())
        };
        let (mut store, mut model) = (start(), Model::default());
        for step in steps {
            match step {
                Step::Sync(requests) => {
                    let expected: Vec<_> =
                        requests.iter().map(|request| model.sync(request, clock.elapsed())).collect();
                    prop_assert_eq!(store.sync(&requests).expect("answered"), expected);
                }
                Step::SetLimit(tenant, limit) => {
                    store.set_limit(tenant, limit).expect("stored");
                    model.limits.remove(tenant);
                    model.limits.extend(limit.map(|limit| (tenant, limit)));
                }
                Step::Forget(tenant) => {
                    store.forget(tenant).expect("forgotten");
                    model.records.remove(tenant);
                    model.limits.remove(tenant);
                }
                Step::Wait(time) => clock.advance(time),
                Step::Reopen => {
                    drop(store);
                    store = start();
                }
            }
        }
        drop(store);
        let mut store = start();
        for tenant in TENANTS {
            let kept = store.record(tenant).expect("read");
            prop_assert_eq!(kept.as_ref(), model.records.get(tenant));
        }
    }
}

#[test]
fn an_unknown_tenant_is_not_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory.path().join("ledger"));
    let mut request = report("a", 1, 10);
    request.seed = None;
    assert_eq!(sync(&mut store, request), SyncReply::Unknown);
    assert_eq!(store.record("a").unwrap(), None);
}

#[test]
fn a_batch_may_name_a_tenant_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(&directory.path().join("ledger"));
    let replies = store
        .sync(&[report("a", 1, 10), report("a", 2, 30), report("a", 2, 50)])
        .unwrap();
    assert_eq!(replies[2], SyncReply::Stale);
    assert_eq!(store.record("a").unwrap().expect("recorded").used(), 30);
}

#[test]
fn a_limit_can_be_set_before_anything_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path).set_limit("a", Some(Limit::bytes(100))).unwrap();
    let mut store = open(&path);
    assert_eq!(synced(&mut store, report("a", 1, 0)).limit, Limit::bytes(100));
    store.set_limit("a", None).unwrap();
    assert_eq!(synced(&mut store, report("a", 2, 0)).limit, Limit::bytes(1 << 20));
}

#[test]
fn the_system_clock_is_the_time_since_the_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let mut store: FileStore = open(&directory.path().join("ledger"));
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    synced(&mut store, report("a", 1, 0));
    let after = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let expires = store.record("a").unwrap().expect("recorded").nodes["node"].expires;
    let ttl = Duration::from_secs(60);
    assert!((before + ttl..=after + ttl).contains(&expires), "{expires:?}");
}
