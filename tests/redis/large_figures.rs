//! Redis counts exactly below 2^53. What reaches that is refused; nothing wraps and nothing is rounded.

use std::time::Duration;

use tower_storage_guard::{LeaseStore, Limit, Seed, StoreErrorKind, SyncReply};

use crate::{node::Node, redis_server::RedisServer};

const EXACT: u64 = 1 << 53;
const SIGNED: i64 = 1 << 53;

fn rejected(node: &mut Node) {
    let reply = node.sync().unwrap();
    let SyncReply::Failed { kind, reason } = &reply else {
        panic!("{reply:?}")
    };
    assert_eq!(*kind, StoreErrorKind::Rejected);
    assert!(reason.contains("2^53"), "{reason}");
}

#[test]
fn limits_are_below_it() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    for bytes in [EXACT, EXACT + 1, u64::MAX] {
        node.says.limit = Limit::bytes(bytes);
        rejected(&mut node);
        let error = node.store.set_limit("acme", Some(Limit::bytes(bytes))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().contains("2^53"), "{error}");
    }
    assert_eq!(node.store.record("acme").unwrap(), None);

    node.says.limit = Limit::bytes(EXACT - 1);
    let synced = node.synced();
    assert_eq!((synced.limit, synced.room), (Limit::bytes(EXACT - 1), EXACT - 1));
    assert_eq!(node.lease(EXACT - 1), EXACT - 1);
    assert_eq!(node.lease(1), EXACT - 1);

    node.says.floor = 0;
    node.says.limit = Limit::UNLIMITED;
    let synced = node.synced();
    assert_eq!((synced.limit, synced.room), (Limit::UNLIMITED, EXACT - 1));
}

#[test]
fn what_is_stored_or_under_way_is_below_it() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.says.limit = Limit::UNLIMITED;
    for share in [SIGNED, -SIGNED, i64::MAX, i64::MIN] {
        node.says.share = Some(share);
        rejected(&mut node);
    }
    node.says.share = Some(0);
    for floor in [EXACT, u64::MAX] {
        node.says.floor = floor;
        rejected(&mut node);
    }
    node.says.floor = 0;
    for used in [EXACT, u64::MAX] {
        node.says.seed = Some(Seed::new(1, used, true));
        rejected(&mut node);
    }
    assert_eq!(node.store.record("acme").unwrap(), None);

    node.says.seed = Some(Seed::new(1, EXACT - 1, true));
    node.says.share = Some(1 - SIGNED);
    assert_eq!(node.synced().used, 0);
    node.says.share = Some(0);
    assert_eq!(node.synced().used, EXACT - 1);
    node.says.share = Some(-1);
    let synced = node.synced();
    assert_eq!((synced.used, synced.share), (EXACT - 2, -1));
}

#[test]
fn sums_are_below_it_and_else_nothing_is_applied() {
    let Some(server) = RedisServer::start() else { return };
    let mut nodes = ["a", "b", "c"].map(|name| Node::new(name, &server.url()));
    for node in &mut nodes {
        node.says.limit = Limit::UNLIMITED;
    }
    nodes[0].says.share = Some(SIGNED - 1);
    nodes[0].synced();
    nodes[1].synced();
    let record = nodes[0].store.record("acme").unwrap();
    nodes[1].says.share = Some(1);
    rejected(&mut nodes[1]);
    assert_eq!(nodes[0].store.record("acme").unwrap(), record);
    nodes[1].says.share = Some(-1);
    assert_eq!(nodes[1].synced().used, EXACT - 2);

    // What an earlier start held counts as stored.
    nodes[1].says.share = Some(1 - SIGNED);
    assert_eq!(nodes[1].synced().used, 0);
    assert_eq!(nodes[0].lease(1), 1);
    nodes[0].says.incarnation += 1;
    nodes[0].says.share = None;
    rejected(&mut nodes[0]);

    // Holds that add up to more than can be counted leave nothing free, and no more than that.
    for node in &mut nodes[1..] {
        node.says.floor = EXACT - 1;
        assert_eq!(node.synced().hold, EXACT - 1);
    }
    let synced = nodes[1].synced();
    assert_eq!((synced.held_elsewhere, synced.room), (EXACT, 0));
}

#[test]
fn wishes_that_cannot_be_counted_are_not_granted() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.says.limit = Limit::UNLIMITED;
    node.says.floor = 7;
    for need in [EXACT - 7, EXACT, u64::MAX] {
        node.says.need = need;
        let synced = node.synced();
        assert_eq!((synced.hold, synced.room), (7, EXACT - 8));
    }
    node.says.need = EXACT - 8;
    assert_eq!(node.synced().hold, EXACT - 1);
    node.says.need = 0;
    for chunk in [EXACT, u64::MAX] {
        node.says.chunk = chunk;
        assert_eq!(node.synced().hold, 7 + (EXACT - 8) / 8);
    }
}

#[test]
fn counters_and_epochs_may_be_as_large_as_they_like() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.says.seed = Some(Seed::new(u64::MAX, 0, true));
    for (incarnation, sequence) in [
        (9, 10),
        (10, 9),
        (EXACT, u64::MAX - 2),
        (EXACT + 1, 2),
        (u64::MAX - 1, u64::MAX - 2),
        (u64::MAX, 9_999_999_999),
        (u64::MAX, 10_000_000_000),
        (u64::MAX, u64::MAX - 1),
    ] {
        node.says.incarnation = incarnation;
        node.says.sequence = sequence - 1;
        assert_eq!(node.synced().epoch, u64::MAX);
        node.says.sequence = sequence - 1;
        assert_eq!(node.sync().unwrap(), SyncReply::Stale, "{incarnation} {sequence}");
        node.says.sequence = sequence - 2;
        assert_eq!(node.sync().unwrap(), SyncReply::Stale, "{incarnation} {sequence}");
        node.says.incarnation = incarnation - 1;
        assert_eq!(node.sync().unwrap(), SyncReply::Superseded);
    }
    node.says.incarnation = u64::MAX;
    node.says.sequence = u64::MAX - 1;
    node.says.epoch = Some(u64::MAX - 1);
    assert_eq!(node.sync().unwrap(), SyncReply::Reseeded { epoch: u64::MAX });
    node.says.sequence = u64::MAX - 1;
    node.says.epoch = Some(u64::MAX);
    node.synced();
    let record = node.store.record("acme").unwrap().unwrap();
    let line = record.nodes["a"];
    assert_eq!(
        (line.incarnation, line.sequence, record.epoch),
        (u64::MAX, u64::MAX, u64::MAX)
    );
}

#[test]
fn times_may_be_as_long_as_they_like() {
    let Some(server) = RedisServer::start() else { return };
    let (mut a, mut b) = (Node::new("a", &server.url()), Node::new("b", &server.url()));
    a.says.ttl = Duration::MAX;
    a.lease(1000);
    b.says.reap_after = Some(Duration::MAX);
    assert_eq!(b.lease(1), 0);
    a.says.ttl = Duration::ZERO;
    a.synced();
    assert_eq!(b.lease(1), 0);
    b.says.reap_after = Some(Duration::ZERO);
    assert_eq!(b.lease(1), 1);
    assert_eq!(a.sync().unwrap(), SyncReply::Forgotten);
}
