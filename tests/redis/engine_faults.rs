//! An engine that dies, hangs, forgets, or comes back as it was before.

use tower_storage_guard::{LeaseStore, StoreErrorKind, SyncReply};

use crate::{node::Node, redis_server::RedisServer};

fn unavailable(node: &mut Node) -> String {
    let error = node.sync().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    error.to_string()
}

#[test]
fn an_append_only_engine_that_is_killed_has_lost_nothing() {
    let Some(mut server) = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let (mut a, mut b) = (Node::new("a", &server.url()), Node::new("b", &server.url()));
    a.store.set_limit("acme", Some("1.5 KiB".parse().unwrap())).unwrap();
    a.lease(400);
    a.store(300);
    a.synced();
    b.lease(500);
    let record = a.store.record("acme").unwrap();
    assert!(record.is_some());

    server.kill();
    unavailable(&mut a);
    assert!(unavailable(&mut a).ends_with("cannot be reached"));
    server.restart();
    assert_eq!(a.store.record("acme").unwrap(), record);
    let synced = b.sync();
    assert!(synced.is_err(), "its connection was to the engine that died");
    let synced = b.synced();
    assert_eq!((synced.used, synced.hold, synced.held_elsewhere), (300, 500, 100));
    assert_eq!(synced.limit, "1.5 KiB".parse().unwrap());
}

#[test]
fn an_engine_that_stands_still_is_not_waited_for() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::impatient("a", &server.url());
    node.lease(400);
    node.store(300);

    server.freeze();
    assert!(unavailable(&mut node).ends_with("does not answer in time"));
    // Also not by a connection that it has not accepted yet.
    assert!(unavailable(&mut node).ends_with("does not answer in time"));
    server.thaw();
    // What was sent meanwhile it may have read by now, or not, or read later.
    let synced = node.synced();
    assert_eq!((synced.used, synced.hold), (300, 100));
}

/// A batch of many is not waited for many times.
#[test]
fn an_engine_that_pauses_writes_is_not_waited_for() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::impatient("a", &server.url());
    node.lease(400);
    node.store(300);

    let () = server.command(&["CLIENT", "PAUSE", "1000000", "WRITE"]);
    assert!(unavailable(&mut node).ends_with("does not answer in time"));
    assert!(unavailable(&mut node).ends_with("does not answer in time"));
    let () = server.command(&["CLIENT", "UNPAUSE"]);
    assert_eq!(node.synced().used, 300);

    let () = server.command(&["CLIENT", "PAUSE", "1000000", "WRITE"]);
    let many = vec![node.says.clone(); 1000];
    let error = node.store.sync(&many).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let () = server.command(&["CLIENT", "UNPAUSE"]);
}

#[test]
fn a_script_that_was_flushed_is_loaded_again() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.lease(400);
    for _ in 0..3 {
        let () = server.command(&["SCRIPT", "FLUSH"]);
        node.store(100);
        node.synced();
    }
    assert_eq!(node.synced().used, 300);

    // Each of a batch is applied once.
    let () = server.command(&["SCRIPT", "FLUSH"]);
    let mut batch = Vec::new();
    for number in 0..600 {
        let mut request = node.says.clone();
        request.tenant = format!("tenant {number}").into();
        request.sequence = 1;
        request.need = number;
        batch.push(request);
    }
    let replies = node.store.sync(&batch).unwrap();
    assert_eq!(replies.len(), 600);
    for (request, reply) in batch.iter().zip(&replies) {
        let SyncReply::Synced(synced) = reply else {
            panic!("{reply:?}")
        };
        assert_eq!(synced.hold, request.floor + request.need);
    }
}

#[test]
fn a_flushed_engine_does_not_take_it_for_nothing_stored() {
    let Some(server) = RedisServer::start() else { return };
    let (mut a, mut b) = (Node::new("a", &server.url()), Node::new("b", &server.url()));
    a.lease(400);
    a.store(300);
    a.synced();
    b.lease(100);

    let () = server.command(&["FLUSHALL"]);
    let seed = a.says.seed.take();
    assert_eq!(a.sync().unwrap(), SyncReply::Unknown);
    assert_eq!(a.store.record("acme").unwrap(), None);

    // Seeded by a guess: nothing is leased until the others have told what they know.
    a.says.seed = seed.map(|seed| tower_storage_guard::Seed::new(seed.epoch + 1, 0, false));
    let synced = a.synced();
    assert!(synced.is_quiet);
    assert_eq!((synced.used, synced.room), (300, 0));
    assert_eq!(b.lease(1), 100, "what it had, and no more");
}

/// The engine forgets the last reports, and shares that are sums heal it.
#[test]
fn an_old_snapshot_heals_by_absolute_shares() {
    let Some(mut server) = RedisServer::start() else { return };
    let mut nodes = ["a", "b"].map(|name| Node::new(name, &server.url()));
    for node in &mut nodes {
        node.lease(200);
        node.store(100);
        node.synced();
    }
    let () = server.command(&["SAVE"]);
    for node in &mut nodes {
        node.store(100);
        node.synced();
    }
    let before = nodes[0].store.record("acme").unwrap();

    server.restart();
    let _ = nodes[0].sync();
    let _ = nodes[1].sync();
    let old = nodes[0].store.record("acme").unwrap().unwrap();
    assert!(old.used() < before.as_ref().unwrap().used());

    nodes[0].synced();
    let synced = nodes[1].synced();
    assert_eq!((synced.used, synced.hold, synced.held_elsewhere), (400, 0, 0));
    // All of the limit is left to lease.
    assert_eq!(nodes[0].lease(600), 600);
}
