//! What the script does to a tenant is what `Record::sync` does.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use tower_storage_guard::{LeaseStore, Limit, Record, RedisStore, Seed, SyncReply, SyncRequest};

use crate::{node::patient, redis_server::RedisServer};

/// Redis counts exactly below this.
const EXACT: u64 = 1 << 53;
/// Numbers that doubles cannot tell apart are among them.
const NAMES: [u64; 8] = [0, 1, 2, 9, EXACT, EXACT + 1, u64::MAX - 1, u64::MAX];

#[test]
fn the_script_does_what_the_record_does() {
    let Some(server) = RedisServer::start() else { return };
    let store = RefCell::new(patient(&server.url()).build().unwrap());
    let seen = RefCell::new(BTreeMap::new());
    TestRunner::new(ProptestConfig::with_cases(400))
        .run(&prop::collection::vec(step(), 1..50), |steps| {
            run(&mut store.borrow_mut(), &steps, &mut seen.borrow_mut())
        })
        .unwrap();
    let seen = seen.into_inner();
    for kind in ["Synced", "Unknown", "Reseeded", "Stale", "Forgotten", "Superseded"] {
        let times = seen.get(kind).copied().unwrap_or_default();
        assert!(
            times > 10,
            "{kind} was seen {times} times: this test has gone blind ({seen:?})"
        );
    }
}

fn run(store: &mut RedisStore, steps: &[Step], seen: &mut BTreeMap<String, u64>) -> Result<(), TestCaseError> {
    static TENANTS: AtomicU64 = AtomicU64::new(0);
    let tenant = format!("tenant {}", TENANTS.fetch_add(1, Relaxed));
    let (mut record, mut limit, mut sequence) = (None, None, 0_u64);
    // Today, roughly.
    let mut now = Duration::from_micros(1_795_555_555_123_456);
    for step in steps {
        now += step.pause;
        store.set_now(now);
        if let Some(set) = step.set_limit {
            store.set_limit(&tenant, set).unwrap();
            limit = set;
        }
        let mut request = step.request.clone();
        request.tenant = tenant.as_str().into();
        if let Some(jump) = step.sequence {
            sequence = jump;
        } else if !step.repeats {
            sequence = sequence.saturating_add(1);
        }
        request.sequence = sequence;

        let reply = store.sync(std::slice::from_ref(&request)).unwrap();
        let expected = reference(&mut record, limit, &request, now);
        let kind: String = format!("{expected:?}")
            .chars()
            .take_while(|c| c.is_alphabetic())
            .collect();
        *seen.entry(kind).or_default() += 1;
        prop_assert_eq!(&reply, &[expected], "{:?}", request);
        prop_assert_eq!(&store.record(&tenant).unwrap(), &record, "{:?}", request);
        if step.sequence.is_some() {
            sequence = 0;
        }
    }
    Ok(())
}

/// Unlimited is what Redis can count.
fn reference(record: &mut Option<Record>, limit: Option<Limit>, request: &SyncRequest, now: Duration) -> SyncReply {
    let in_force = limit.unwrap_or(request.limit);
    let counted = Limit::bytes(in_force.as_bytes().unwrap_or(EXACT - 1));
    match Record::sync(record, Some(counted), request, now) {
        SyncReply::Synced(mut synced) => {
            synced.limit = in_force;
            SyncReply::Synced(synced)
        }
        reply => reply,
    }
}

#[derive(Clone, Debug)]
struct Step {
    pause: Duration,
    set_limit: Option<Option<Limit>>,
    request: SyncRequest,
    /// Instead of the next one.
    sequence: Option<u64>,
    repeats: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let when = (
        prop_oneof![8 => micros(2_000_000), 1 => micros(7_200_000_000), 1 => Just(Duration::from_secs(3600))],
        prop_oneof![8 => Just(None), 1 => prop::option::of(limit()).prop_map(Some)],
        prop_oneof![30 => Just(None), 1 => select(&NAMES).prop_map(Some)],
        prop::bool::weighted(0.1),
    );
    (when, request()).prop_map(|((pause, set_limit, sequence, repeats), request)| Step {
        pause,
        set_limit,
        request,
        sequence,
        repeats,
    })
}

prop_compose! {
    fn request()(
        node in select(&["a", "b", "node: c}", ""]),
        incarnation in prop_oneof![9 => Just(2), 1 => select(&NAMES)],
        epoch in prop::option::of(prop_oneof![3 => Just(EXACT + 1), 1 => select(&NAMES)]),
        share in prop::option::of(prop_oneof![8 => 0..1_000_000_i64, 1 => -1_000_000..0_i64, 1 => (1_i64 << 47)..1 << 48]),
        (floor, need, chunk) in (bytes(), bytes(), bytes()),
        (limit, leave) in (limit(), prop::bool::weighted(0.05)),
        ttl in prop_oneof![3 => micros(60_000_000), 1 => Just(Duration::ZERO)],
        reap_after in prop::option::of(micros(10_000_000)),
        seed in prop::option::weighted(0.8, seed()),
    ) -> SyncRequest {
        let mut request = SyncRequest::new("", node);
        request.incarnation = incarnation;
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

prop_compose! {
    fn seed()(epoch in prop_oneof![3 => Just(EXACT + 1), 1 => select(&NAMES)], used in bytes(), measured: bool) -> Seed {
        Seed::new(epoch, used, measured)
    }
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 6 => 0..1_000_000_u64, 1 => 0..1_u64 << 44]
}

fn limit() -> impl Strategy<Value = Limit> {
    prop_oneof![
        4 => (0..5_000_000_u64).prop_map(Limit::bytes),
        1 => Just(Limit::bytes(0)),
        1 => Just(Limit::bytes(EXACT - 1)),
        1 => Just(Limit::UNLIMITED),
    ]
}

fn micros(below: u64) -> impl Strategy<Value = Duration> {
    (0..below).prop_map(Duration::from_micros)
}
