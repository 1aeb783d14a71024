//! A record that others have touched is an error of its tenant only.

use tower_storage_guard::{LeaseStore, Limit, StoreErrorKind, SyncReply};

use crate::{node::Node, redis_server::RedisServer};

/// Three tenants in one batch; the one in the middle must fail like this, and nothing of it may change.
fn fails_alone(node: &mut Node, kind: StoreErrorKind) {
    let batch = ["before", "broken", "after"].map(|tenant| {
        let mut request = node.says.clone();
        request.tenant = tenant.into();
        request
    });
    node.says.sequence += 1;
    let replies = node.store.sync(&batch).unwrap();
    assert!(matches!(&replies[0], SyncReply::Synced(_)), "{replies:?}");
    assert!(
        matches!(&replies[1], SyncReply::Failed { kind: told, .. } if *told == kind),
        "{replies:?}"
    );
    assert!(matches!(&replies[2], SyncReply::Synced(_)), "{replies:?}");
}

#[test]
fn another_type_at_the_key_is_corrupt() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.says.sequence = 1;
    for words in [
        &["SET", "sg:{broken}", "text"][..],
        &["LPUSH", "sg:{broken}", "text"],
        &["SADD", "sg:{broken}", "text"],
    ] {
        let _: redis::Value = server.command(&["DEL", "sg:{broken}"]);
        let _: redis::Value = server.command(words);
        fails_alone(&mut node, StoreErrorKind::Corrupt);
        let error = node.store.set_limit("broken", Some(Limit::UNLIMITED)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        let error = node.store.record("broken").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
    let _: redis::Value = server.command(&["DEL", "sg:{broken}"]);
    node.says.tenant = "broken".into();
    node.synced();
}

#[test]
fn fields_that_were_changed_are_corrupt() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.says.tenant = "broken".into();
    let key = "sg:{broken}";
    let line = "00000000000000000001 00000000000000000001 0 0 1 0";
    for (field, value) in [
        ("epoch", "x"),
        ("epoch", ""),
        ("measured", "2"),
        ("base", ""),
        ("base", "1e3"),
        ("base", "0x10"),
        ("base", "9007199254740992"),
        ("base", "-9007199254740992"),
        ("quiet_until", "never"),
        ("limit", "much"),
        ("limit", "9007199254740992"),
        ("node:b", ""),
        ("node:b", &line[1..]),
        ("node:b", &format!("{line} 0")),
        ("node:b", &line.replace(" 0 0 ", " 0 -1 ")),
        ("node:b", &line.replace(" 0 0 ", " 0 9007199254740992 ")),
        ("node:b", &line.replace(" 1 0", " 1 2")),
    ] {
        let _: redis::Value = server.command(&["DEL", key]);
        node.synced();
        let _: redis::Value = server.command(&["HSET", key, field, value]);
        let before: Vec<(String, String)> = server.command(&["HGETALL", key]);
        fails_alone(&mut node, StoreErrorKind::Corrupt);
        let after: Vec<(String, String)> = server.command(&["HGETALL", key]);
        assert_eq!(before, after, "{field}: {value}");
    }
    for field in ["epoch", "measured", "base", "quiet_until"] {
        let _: redis::Value = server.command(&["DEL", key]);
        node.synced();
        let _: redis::Value = server.command(&["HDEL", key, field]);
        fails_alone(&mut node, StoreErrorKind::Corrupt);
    }
}

#[test]
fn an_engine_without_memory_changes_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.lease(400);
    node.store(100);
    let record = node.store.record("acme").unwrap();
    let () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = node.sync().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("no memory left"), "{error}");
    assert_eq!(node.store.record("acme").unwrap(), record);
    let () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(node.synced().used, 100);
}

#[test]
fn a_limit_alone_is_no_record() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.store.set_limit("acme", Some(Limit::bytes(50))).unwrap();
    assert_eq!(node.store.record("acme").unwrap(), None);
    let seed = node.says.seed.take();
    assert_eq!(node.sync().unwrap(), SyncReply::Unknown);
    node.says.seed = seed;
    assert_eq!(node.lease(51), 0);
    assert_eq!(node.lease(50), 50);

    node.store.set_limit("acme", Some(Limit::UNLIMITED)).unwrap();
    assert_eq!(node.synced().limit, Limit::UNLIMITED);
    node.store.set_limit("acme", Some(Limit::bytes(0))).unwrap();
    let synced = node.synced();
    assert_eq!((synced.limit, synced.hold, synced.room), (Limit::bytes(0), 50, 0));
    node.store.set_limit("acme", None).unwrap();
    node.store.set_limit("acme", None).unwrap();
    assert_eq!(node.synced().limit, Limit::bytes(1000));
}
