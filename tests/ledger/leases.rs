//! Nodes that share a limit through a store.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tower_storage_guard::{
    DeniedKind, Event, Grant, LeaseStore, Leasing, Ledger, Limit, StoreError, SyncReply, SyncRequest,
    test_util::{FakeStore, ManualClock},
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An engine and the nodes on it.
pub(crate) struct Cluster {
    pub(crate) store: FakeStore,
    pub(crate) clock: ManualClock,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            store: FakeStore::new().with_clock(&clock),
            clock,
            events: Arc::default(),
        }
    }

    /// A node with a limit of 1000 bytes a tenant, and chunks of 80.
    pub(crate) fn node(&self, name: &str) -> Ledger {
        self.node_with(self.store.clone(), |leasing| leasing.node(name))
    }

    pub(crate) fn node_with(
        &self,
        store: impl LeaseStore + 'static,
        settings: impl FnOnce(Leasing) -> Leasing,
    ) -> Ledger {
        let events = self.events.clone();
        let observer = move |event: &Event<'_>| events.lock().unwrap().push(format!("{event:?}"));
        Ledger::builder()
            .default_limit(Limit::bytes(1000))
            .leasing(settings(Leasing::new(store).chunk(80)))
            .observer(observer)
            .manual(self.clock.clone())
            .build()
            .unwrap()
    }
}

/// Reserves, with as many exchanges as it takes.
pub(crate) fn reserve(node: &Ledger, bytes: u64) -> Result<Grant, DeniedKind> {
    let asking = node.reserve("t", bytes);
    node.step();
    node.step();
    asking.wait().map_err(|denied| denied.kind())
}

pub(crate) fn beat(cluster: &Cluster, nodes: &[&Ledger]) {
    cluster.clock.advance(6 * SECOND);
    for node in nodes {
        while node.step() {}
    }
}

fn hold(cluster: &Cluster, node: &str) -> u64 {
    cluster.store.record("t").unwrap().nodes[node].hold
}

#[test]
fn only_the_first_request_asks_the_store() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    reserve(&node, 10).unwrap().commit(10);
    let calls = cluster.store.calls();
    let grants: Vec<_> = (0..5).map(|_| node.try_reserve("t", 10).unwrap()).collect();
    assert_eq!(cluster.store.calls(), calls);
    assert_eq!(node.usage("t").reserved, 50);
    drop(grants);
    // Half of the chunk is gone: more is asked for before anybody waits.
    assert!(node.step());
    assert!(!node.step());
    drop(node.try_reserve("t", 1).unwrap());
    assert!(!node.step(), "what was given back here is nobody else's business");
}

/// So that hardly a request has to wait.
#[test]
fn more_is_leased_before_the_lease_is_used_up() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    assert_eq!(node.name(), "quota");
    let held: Vec<_> = (0..3).map(|_| reserve(&node, 10).unwrap()).collect();
    let before = hold(&cluster, "a");
    let more: Vec<_> = (0..3).map(|_| node.reserve("t", 10).wait().unwrap()).collect();
    while node.step() {}
    let after = hold(&cluster, "a");
    assert!(
        after > before,
        "{before} were leased, {after} are when more than half is gone"
    );
    drop((held, more));
}

#[test]
fn nodes_share_what_there_is_and_all_of_it_can_be_used() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    let mut grants = Vec::new();
    for round in 0..250 {
        let node = if round % 2 == 0 { &a } else { &b };
        match reserve(node, 10) {
            Ok(grant) => grants.push(grant),
            Err(kind) => assert_eq!(kind, DeniedKind::Quota),
        }
        if round % 20 == 0 {
            beat(&cluster, &[&a, &b]);
        }
    }
    // An eighth of the little that is left may be held elsewhere.
    assert!((99..=100).contains(&grants.len()), "{}", grants.len());
    let stored = grants.len() as u64 * 10;
    for grant in grants {
        grant.commit(10);
    }
    beat(&cluster, &[&a, &b]);
    assert_eq!(cluster.store.record("t").unwrap().used(), stored);
    assert_eq!(b.usage("t").used, stored, "b told after a");
    assert_eq!(reserve(&a, 1001).unwrap_err(), DeniedKind::ExceedsQuota);
}

#[test]
fn those_who_wait_are_served_in_order_and_whoever_does_not_fit_is_told() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    let asking: Vec<_> = [400, 2000, 300, 500, 300].map(|bytes| node.reserve("t", bytes)).into();
    while node.step() {}
    let outcomes: Vec<_> = asking
        .into_iter()
        .map(|asking| asking.wait().map(|grant| std::mem::ManuallyDrop::new(grant).reserved()))
        .map(|outcome| outcome.map_err(|denied| denied.kind()))
        .collect();
    assert_eq!(
        outcomes,
        [
            Ok(400),
            Err(DeniedKind::ExceedsQuota),
            Ok(300),
            Err(DeniedKind::Quota),
            Ok(300)
        ]
    );
}

#[test]
fn idle_leases_go_back_and_their_tenants_are_forgotten() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    reserve(&a, 900).unwrap().commit(900);
    assert_eq!(reserve(&b, 95).unwrap_err(), DeniedKind::Quota, "a holds some ahead");
    beat(&cluster, &[&a]);
    beat(&cluster, &[&a]);
    assert_eq!(hold(&cluster, "a"), 0);
    // For a while a node repeats what it has told, in case that the engine forgets.
    assert_eq!(a.report().tenants, 1);
    for _ in 0..12 {
        beat(&cluster, &[&a]);
    }
    assert_eq!(a.report().tenants, 0);
    let grant = reserve(&b, 95).unwrap();
    // Found again, with what it had stored.
    assert_eq!(reserve(&a, 6).unwrap_err(), DeniedKind::Quota);
    drop(grant);
    reserve(&a, 5).unwrap().commit(5);
    beat(&cluster, &[&a, &b]);
    assert_eq!(cluster.store.record("t").unwrap().nodes["a"].share, 905);
}

#[test]
fn a_late_duplicate_of_a_message_that_gave_bytes_back_is_refused() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    // a leases 500 and gives them back; that message is repeated later.
    drop(reserve(&a, 500).unwrap());
    cluster.store.keep_requests();
    beat(&cluster, &[&a]);
    beat(&cluster, &[&a]);
    let shrink = std::iter::from_fn(|| cluster.store.take_request()).last().unwrap();
    assert_eq!(shrink.floor, 0);
    let at_a = reserve(&a, 500).unwrap();
    assert_eq!(cluster.store.deliver(&shrink), SyncReply::Stale);
    assert_eq!(reserve(&b, 700).unwrap_err(), DeniedKind::Quota);
    drop(at_a);
}

/// Calls back while it is being asked.
struct Interrupting {
    inner: FakeStore,
    during: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl LeaseStore for Interrupting {
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        let replies = self.inner.sync(requests)?;
        if let Some(during) = self.during.get() {
            during();
        }
        Ok(replies)
    }

    fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        self.inner.set_limit(tenant, limit)
    }
}

#[test]
fn what_is_given_back_can_no_longer_be_taken_while_the_message_is_under_way() {
    let cluster = Cluster::new();
    let during = Arc::default();
    let store = Interrupting {
        inner: cluster.store.clone(),
        during: Arc::clone(&during),
    };
    let a = cluster.node_with(store, |leasing| leasing.node("a").chunk(500));
    drop(reserve(&a, 500).unwrap());
    let b = cluster.node("b");
    let taken = Arc::new(Mutex::new((0, 0)));
    let (own, seen) = (a.clone(), taken.clone());
    let once = AtomicBool::new(false);
    let _ = during.set(Box::new(move || {
        if once.swap(true, Relaxed) {
            return;
        }
        // The store has the message, and lets another node have the bytes; the reply is not there yet.
        if let Ok(grant) = reserve(&b, 800) {
            std::mem::forget(grant);
            seen.lock().unwrap().1 += 800;
        }
        while let Ok(grant) = own.try_reserve("t", 10) {
            std::mem::forget(grant);
            seen.lock().unwrap().0 += 10;
        }
    }));
    beat(&cluster, &[&a]);
    beat(&cluster, &[&a]);
    let (at_a, at_b) = *taken.lock().unwrap();
    assert!(at_a + at_b <= 1000, "{at_a} + {at_b}");
    assert_eq!(at_b, 800, "the case did come up");
}

#[test]
fn a_lost_reply_is_made_good_by_the_next() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    cluster.store.lose_replies(1);
    let asking = node.reserve("t", 600);
    assert!(!node.step());
    cluster.clock.advance(SECOND / 2);
    assert!(node.step());
    asking.wait().unwrap().commit(600);
    for _ in 0..3 {
        cluster.store.lose_replies(2);
        beat(&cluster, &[&node]);
        for _ in 0..4 {
            cluster.clock.advance(SECOND);
            while node.step() {}
        }
    }
    cluster.store.lose_replies(0);
    beat(&cluster, &[&node]);
    assert_eq!(cluster.store.record("t").unwrap().used(), 600);
    assert_eq!(reserve(&node, 400).unwrap().reserved(), 400);
}

#[test]
fn a_credit_makes_room_at_once_here_and_soon_elsewhere() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    reserve(&a, 1000).unwrap().commit(1000);
    a.credit("t", 400);
    reserve(&a, 300).unwrap().commit(300);
    assert_eq!(reserve(&b, 101).unwrap_err(), DeniedKind::Quota);
    // Through a node that has not stored anything.
    b.credit("t", 500);
    while b.step() {}
    drop(reserve(&a, 600).unwrap());
    beat(&cluster, &[&a, &b]);
    let record = cluster.store.record("t").unwrap();
    assert_eq!((record.used(), record.nodes["b"].share), (400, -500));
}

#[test]
fn whoever_goes_away_while_waiting_leaves_nothing_reserved() {
    let cluster = Cluster::new();
    let node = cluster.node("a");
    drop(node.reserve("t", 100));
    while node.step() {}
    let granted = node.reserve("t", 200);
    while node.step() {}
    // Granted, and never fetched.
    drop(granted);
    assert_eq!(node.usage("t").reserved, 0);
    beat(&cluster, &[&node]);
    beat(&cluster, &[&node]);
    assert_eq!(hold(&cluster, "a"), 0);
}

#[test]
fn a_limit_set_on_one_node_holds_on_all() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    reserve(&b, 500).unwrap().commit(500);
    a.set_limit("t", Limit::bytes(400)).unwrap();
    assert_eq!(reserve(&a, 1).unwrap_err(), DeniedKind::Quota);
    beat(&cluster, &[&a, &b]);
    assert_eq!(b.usage("t").limit, Limit::bytes(400));
    assert_eq!(reserve(&b, 401).unwrap_err(), DeniedKind::ExceedsQuota);
    b.set_limit("t", Limit::UNLIMITED).unwrap();
    drop(reserve(&a, 1 << 40).unwrap());
    a.set_limit("t", None).unwrap();
    assert_eq!(reserve(&b, 1 << 40).unwrap_err(), DeniedKind::ExceedsQuota);
    cluster.store.fail("out of order");
    assert!(a.set_limit("t", Limit::bytes(1)).is_err());
}

#[test]
fn closing_gives_everything_back() {
    let cluster = Cluster::new();
    let named = cluster.node("a");
    let anonymous = cluster.node_with(cluster.store.clone(), |leasing| leasing);
    for node in [&named, &anonymous] {
        reserve(node, 100).unwrap().commit(100);
        node.close();
        assert_eq!(node.reserve("t", 500).wait().unwrap_err().kind(), DeniedKind::Unknown);
    }
    let record = cluster.store.record("t").unwrap();
    assert_eq!(
        (record.used(), record.base),
        (200, 100),
        "whoever has no name comes not back"
    );
    assert!(record.nodes.values().all(|node| node.hold == 0));
    // What is still under way may be stored.
    let anonymous = cluster.node_with(cluster.store.clone(), |leasing| leasing);
    let upload = reserve(&anonymous, 300).unwrap();
    anonymous.close();
    upload.commit(300);
    let record = cluster.store.record("t").unwrap();
    assert_eq!(record.nodes.values().map(|node| node.hold).sum::<u64>(), 300);
}
