//! Messages that are lost, late, or come twice.

use tower_storage_guard::{StoreErrorKind, SyncReply};

use crate::{
    node::Node,
    proxy::{Mode, Proxy},
    redis_server::RedisServer,
};

#[test]
fn what_a_lost_reply_told_is_told_again() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.address());
    let mut node = Node::impatient("a", &proxy.url());
    assert_eq!(node.lease(100), 100);

    node.store(60);
    proxy.replies(Mode::Lose);
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    proxy.replies(Mode::Pass);

    let synced = node.synced();
    assert_eq!((synced.used, synced.share, synced.hold), (60, 60, 40));
}

#[test]
fn a_connection_that_ends_before_the_reply_is_made_anew() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.address());
    let mut node = Node::new("a", &proxy.url());
    node.lease(100);
    node.store(10);

    proxy.half_close();
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(node.synced().used, 10);
    node.store(10);
    proxy.cut();
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(node.synced().used, 20);

    proxy.refuse(true);
    proxy.cut();
    for _ in 0..3 {
        assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    proxy.refuse(false);
    assert_eq!(node.synced().used, 20);
}

#[test]
fn a_repeated_request_changes_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.address());
    let mut node = Node::new("a", &proxy.url());
    node.lease(100);
    node.store(60);
    proxy.take_requests();
    node.synced();
    let requests = proxy.take_requests();
    let record = node.store.record("acme").unwrap();
    for request in requests {
        assert_eq!(proxy.replay(&request), "*1\r\n$5\r\nstale\r\n");
    }
    assert_eq!(node.store.record("acme").unwrap(), record);
}

/// A late duplicate of a request that gave bytes back would give them to a second node.
#[test]
fn a_stale_shrink_gives_nothing_to_others() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.address());
    let (mut a, mut b) = (Node::new("a", &proxy.url()), Node::new("b", &proxy.url()));
    assert_eq!(a.lease(1000), 1000);
    assert_eq!(b.lease(600), 0);

    // It gives all back, another leases them and is done with them, and it leases again.
    proxy.take_requests();
    a.says.floor = 0;
    assert_eq!(a.synced().hold, 0);
    let shrink = proxy.take_requests().remove(0);
    assert_eq!(b.lease(600), 600);
    assert_eq!(proxy.replay(&shrink), "*1\r\n$5\r\nstale\r\n");
    b.says.floor = 0;
    assert_eq!(b.synced().hold, 0);
    assert_eq!(a.lease(1000), 1000);

    assert_eq!(proxy.replay(&shrink), "*1\r\n$5\r\nstale\r\n");
    assert_eq!(b.lease(1), 0, "the bytes belong to the first node");
}

#[test]
fn a_request_that_comes_after_its_successor_is_refused() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Proxy::to(server.address());
    let (mut a, mut b) = (Node::impatient("a", &proxy.url()), Node::new("b", &server.url()));
    assert_eq!(a.lease(1000), 1000);

    // A shrink is under way for so long that its node gives up waiting, and needs the bytes after all.
    proxy.requests(Mode::Hold);
    a.says.floor = 0;
    assert_eq!(a.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    proxy.wait_until_held();
    proxy.requests(Mode::Pass);
    a.says.floor = 1000;
    assert_eq!(a.synced().hold, 1000);

    proxy.release();
    proxy.wait_until_none_is_held();
    // The server answers requests in the order in which they come, so it has seen the late one when this is answered.
    assert_eq!(b.lease(1), 0);
    assert_eq!(a.synced().hold, 1000);
    assert!(matches!(b.sync(), Ok(SyncReply::Synced(_))));
}
