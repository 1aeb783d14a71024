//! A replica is promoted, and the primary becomes a replica of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use tower_storage_guard::StoreErrorKind;

use crate::{node::Node, proxy::Proxy, redis_server::RedisServer};

fn unavailable(node: &mut Node) -> String {
    let error = node.sync().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    error.to_string()
}

/// Until the replica has what the primary has now.
fn follow(replica: &RedisServer, primary: &RedisServer) {
    let () = replica.command(&["REPLICAOF", "127.0.0.1", &primary.port()]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_level(replica, primary) {
        assert!(Instant::now() < deadline, "no replication");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_level(replica: &RedisServer, primary: &RedisServer) -> bool {
    let told = |server: &RedisServer, name: &str| {
        let info: String = server.command(&["INFO", "replication"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        value.expect("it is told")
    };
    told(replica, "master_link_status:") == "up"
        && told(replica, "slave_repl_offset:") == told(primary, "master_repl_offset:")
}

fn servers() -> Option<[RedisServer; 2]> {
    // They need not wait for more replicas, and take a connection that was just lost up at once.
    let settings = ["--repl-diskless-sync-delay", "0"];
    let both = [RedisServer::with(&settings)?, RedisServer::with(&settings)?];
    follow(&both[1], &both[0]);
    Some(both)
}

#[test]
fn the_next_call_finds_the_new_primary() {
    let Some([old, new]) = servers() else { return };
    let proxy = Proxy::to(old.address());
    let mut node = Node::new("a", &proxy.url());
    node.lease(400);
    node.store(300);
    node.synced();
    let record = node.store.record("acme").unwrap();
    follow(&new, &old);

    let () = new.command(&["REPLICAOF", "NO", "ONE"]);
    follow(&old, &new);
    proxy.lead_to(new.address());
    // The connection is still to the one that was demoted.
    assert!(unavailable(&mut node).contains("is a replica"));

    assert_eq!(node.store.record("acme").unwrap(), record);
    node.store(50);
    assert_eq!(node.synced().used, 350);
}

/// Replication is not waited for, so what was told last may be lost. Sums heal that.
#[test]
fn a_replica_that_was_behind_heals() {
    let Some([mut old, new]) = servers() else { return };
    let proxy = Proxy::to(old.address());
    let mut node = Node::new("a", &proxy.url());
    node.lease(400);
    node.store(100);
    node.synced();
    follow(&new, &old);
    let () = new.command(&["REPLICAOF", "NO", "ONE"]);
    node.store(200);
    assert_eq!(node.synced().used, 300);

    old.kill();
    unavailable(&mut node);
    proxy.lead_to(new.address());
    assert_eq!(node.store.record("acme").unwrap().unwrap().used(), 100);
    assert_eq!(node.synced().used, 300);
}

#[test]
fn a_replica_does_not_answer_for_its_primary() {
    let Some([mut primary, replica]) = servers() else {
        return;
    };
    let mut node = Node::new("a", &replica.url());
    assert!(unavailable(&mut node).contains("is a replica"));

    let () = replica.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    primary.kill();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !unavailable(&mut node).contains("without its primary") {
        assert!(Instant::now() < deadline, "the replica does not notice");
        thread::sleep(Duration::from_millis(10));
    }
}
