//! While the store cannot be reached.

use std::{num::NonZeroU32, time::Duration};

use tower_storage_guard::{DeniedKind, Ledger, Limit, Unreachable};

use crate::leases::{Cluster, SECOND, reserve};

const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// The store fails, and somebody has waited for it in vain.
fn cut_off(cluster: &Cluster, node: &Ledger) {
    cluster.store.fail("no route to host");
    let asking = node.reserve("other", 1);
    node.step();
    cluster.clock.advance(2 * SECOND);
    node.step();
    drop(asking.wait());
    assert!(!node.report().store.unwrap().is_reachable);
}

fn node(cluster: &Cluster, policy: Unreachable) -> Ledger {
    cluster.node_with(cluster.store.clone(), |leasing| {
        leasing.node("a").on_unreachable(policy)
    })
}

#[test]
fn a_lease_hides_it() {
    let cluster = Cluster::new();
    let node = node(&cluster, Unreachable::FailClosed);
    reserve(&node, 10).unwrap().commit(10);
    cut_off(&cluster, &node);
    let grants: Vec<_> = (0..).map_while(|_| node.try_reserve("t", 10).ok()).collect();
    assert_eq!(grants.len(), 8, "a chunk");
    assert_eq!(node.reserve("t", 10).wait().unwrap_err().kind(), DeniedKind::Unknown);
    assert_eq!(node.scan("t").wait().unwrap_err().kind(), DeniedKind::Unknown);
    cluster.store.recover();
    cluster.clock.advance(2 * SECOND);
    assert!(node.step(), "it is tried again without a request");
    drop(reserve(&node, 500).unwrap());
    let events = cluster.events.lock().unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].starts_with("LedgerUnreachable") && events[0].contains("no route to host"));
    assert!(events[1].starts_with("LedgerRecovered"));
}

#[test]
fn a_short_failure_is_waited_for() {
    let cluster = Cluster::new();
    let node = node(&cluster, Unreachable::FailClosed);
    cluster.store.fail("restarting");
    let asking = node.reserve("t", 10);
    assert!(!node.step());
    cluster.clock.advance(Duration::from_millis(300));
    cluster.store.recover();
    assert!(node.step());
    drop(asking.wait().unwrap());
    assert!(cluster.events.lock().unwrap().is_empty());
}

#[test]
fn a_local_share_bounds_what_this_node_stores() {
    let cluster = Cluster::new();
    let node = node(&cluster, Unreachable::LocalShare(THREE));
    reserve(&node, 100).unwrap().commit(100);
    cut_off(&cluster, &node);
    let mut stored = 100;
    while let Ok(grant) = node.reserve("t", 10).wait() {
        grant.commit(10);
        stored += 10;
    }
    assert_eq!(stored, 330, "a third of 1000");
    assert_eq!(node.reserve("t", 10).wait().unwrap_err().kind(), DeniedKind::Quota);
    assert_eq!(
        node.reserve("t", 1001).wait().unwrap_err().kind(),
        DeniedKind::ExceedsQuota
    );
    // A tenant that was never heard of has a third as well.
    assert!(node.reserve("new", 334).wait().is_err());
    node.reserve("new", 333).wait().unwrap().commit(333);
    cluster.store.recover();
    cluster.clock.advance(2 * SECOND);
    while node.step() {}
    cluster.clock.advance(6 * SECOND);
    while node.step() {}
    assert_eq!(cluster.store.record("t").unwrap().used(), 330);
    assert_eq!(cluster.store.record("new").unwrap().used(), 333);
}

/// What is under way counts as well as what is stored.
#[test]
fn a_local_share_covers_what_is_reserved() {
    let cluster = Cluster::new();
    let node = node(&cluster, Unreachable::LocalShare(THREE));
    cut_off(&cluster, &node);
    let under_way = node.reserve("t", 300).wait().unwrap();
    assert_eq!(node.reserve("t", 34).wait().unwrap_err().kind(), DeniedKind::Quota);
    drop(node.reserve("t", 33).wait().unwrap());
    drop(under_way);
    node.reserve("t", 333).wait().unwrap().commit(333);
}

#[test]
fn failing_open_charges_what_it_lets_through() {
    let cluster = Cluster::new();
    let node = node(&cluster, Unreachable::FailOpen);
    cut_off(&cluster, &node);
    let under_way = node.reserve("t", 900).wait().unwrap();
    node.reserve("t", 700).wait().unwrap().commit(700);
    assert_eq!(
        node.reserve("t", 1001).wait().unwrap_err().kind(),
        DeniedKind::ExceedsQuota
    );
    cluster.store.recover();
    cluster.clock.advance(2 * SECOND);
    while node.step() {}
    assert_eq!(reserve(&node, 1).unwrap_err(), DeniedKind::Quota);
    let record = cluster.store.record("t").unwrap();
    assert_eq!((record.used(), record.nodes["a"].hold), (700, 900), "all is on record");
    under_way.commit(900);
    cluster.clock.advance(6 * SECOND);
    while node.step() {}
    assert_eq!(cluster.store.record("t").unwrap().used(), 1600);
    node.credit("t", 1500);
    drop(reserve(&node, 900).unwrap());
}

#[test]
fn a_store_that_panics_is_like_one_that_fails() {
    struct Panics;
    impl tower_storage_guard::LeaseStore for Panics {
        fn sync(
            &mut self,
            _: &[tower_storage_guard::SyncRequest],
        ) -> Result<Vec<tower_storage_guard::SyncReply>, tower_storage_guard::StoreError> {
            panic!("on purpose")
        }
        fn set_limit(&mut self, _: &str, _: Option<Limit>) -> Result<(), tower_storage_guard::StoreError> {
            panic!("on purpose")
        }
    }
    let cluster = Cluster::new();
    let node = cluster.node_with(Panics, |leasing| leasing);
    assert!(node.set_limit("t", Limit::bytes(1)).is_err());
    let asking = node.reserve("t", 1);
    node.step();
    cluster.clock.advance(2 * SECOND);
    node.step();
    assert_eq!(asking.wait().unwrap_err().kind(), DeniedKind::Unknown);
}
