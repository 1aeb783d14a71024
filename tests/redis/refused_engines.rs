//! Engines and URLs that cannot be used say what to do about it, soon, and without the password.

use std::{error::Error, fmt::Write, net::TcpListener};

use tower_storage_guard::{RedisStore, StoreError, StoreErrorKind};

use crate::{
    node::{Node, impatient, patient},
    redis_server::RedisServer,
};

fn refused(store: Result<RedisStore, StoreError>, kind: StoreErrorKind, words: &str) {
    let error = store.and_then(|mut store| store.connect()).unwrap_err();
    let mut told = format!("{error:?} {error}");
    let mut source = error.source();
    while let Some(error) = source {
        write!(told, " {error:?} {error}").unwrap();
        source = error.source();
    }
    assert_eq!(error.kind(), kind, "{told}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn an_engine_that_evicts_is_refused() {
    let Some(server) = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let store = || patient(&server.url()).build();
    refused(store(), StoreErrorKind::Rejected, "set it to `noeviction`");
    let address = server.url().replace("redis://", "Redis at ") + " has";
    refused(store(), StoreErrorKind::Rejected, &address);
    patient(&server.url())
        .trust_eviction_policy()
        .build()
        .unwrap()
        .connect()
        .unwrap();

    // Without a limit nothing is evicted.
    let () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    store().unwrap().connect().unwrap();
    let () = server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let () = server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    refused(store(), StoreErrorKind::Rejected, "`maxmemory-policy` volatile-ttl");
    let () = server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    store().unwrap().connect().unwrap();
}

#[test]
fn an_engine_that_was_changed_is_refused_with_the_next_connection() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.synced();
    let () = server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let () = server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let () = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Rejected);
}

#[test]
fn a_user_needs_few_rights() {
    let Some(server) = RedisServer::start() else { return };
    let allow = |rights: &[&str]| {
        let words = [&["ACL", "SETUSER", "sg", "reset", "on", ">secret"], rights].concat();
        let () = server.command(&words);
        let url = server.url().replace("//", "//sg:secret@");
        patient(&url).build()
    };
    let calls = [
        "~sg:*",
        "+evalsha",
        "+script|load",
        "+hgetall",
        "+hset",
        "+hdel",
        "+time",
    ];

    refused(allow(&calls), StoreErrorKind::Rejected, "`+info` or `+config|get`");
    let store = allow(&[&calls[..], &["+config|get"]].concat());
    store.unwrap().connect().unwrap();
    let mut node = Node::new("a", &server.url());
    node.store = allow(&[&calls[..], &["+info"]].concat()).unwrap();
    node.lease(10);
    node.says.leave = true;
    node.synced();
    assert!(node.store.record("acme").unwrap().is_some());

    refused(allow(&["+info"]), StoreErrorKind::Rejected, "+evalsha");
    node.store = allow(&["+@all", "~other:*"]).unwrap();
    assert_eq!(node.sync().unwrap_err().kind(), StoreErrorKind::Rejected);
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let Some(server) = RedisServer::with(&["--requirepass", "correct"]) else {
        return;
    };
    let at = |user: &str| patient(&server.url().replace("//", &format!("//{user}"))).build();
    refused(at(":secret@"), StoreErrorKind::Rejected, "user or the password");
    refused(at("sg:secret@"), StoreErrorKind::Rejected, "user or the password");
    refused(at(""), StoreErrorKind::Rejected, "wants a password");
    at(":correct@").unwrap().connect().unwrap();

    let store = at(":secret@");
    assert!(!format!("{store:?}").contains("secret"));
    let builder = RedisStore::builder("redis://:secret@localhost");
    assert!(!format!("{builder:?}").contains("secret"));
}

#[test]
fn a_url_that_makes_no_sense_is_told_at_once() {
    for url in [
        "",
        "localhost:6379",
        "http://:secret@localhost",
        "redis://:secret@",
        "redis://:secret@localhost:port",
        "redis://:secret@localhost/database",
        "unix:secret",
    ] {
        refused(
            RedisStore::new(url),
            StoreErrorKind::Rejected,
            "`redis://HOST:PORT/DATABASE`",
        );
    }
    let encrypted = RedisStore::new("rediss://:secret@localhost");
    refused(encrypted, StoreErrorKind::Rejected, "`tls-rustls`");
    let zero = RedisStore::builder("redis://localhost").response_timeout(std::time::Duration::ZERO);
    refused(zero.build(), StoreErrorKind::Rejected, "timeout of zero");
    let brace = RedisStore::builder("redis://localhost").prefix("a{b").build();
    refused(brace, StoreErrorKind::Rejected, "no braces");
}

#[test]
fn nobody_there_is_told_in_time() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("redis://:secret@{}/3", unused.local_addr().unwrap());
    refused(
        impatient(&silent).build(),
        StoreErrorKind::Unavailable,
        "does not answer in time",
    );
    drop(unused);
    refused(
        impatient(&silent).build(),
        StoreErrorKind::Unavailable,
        "cannot be reached",
    );
    let nowhere = impatient("redis://:secret@nowhere.invalid").build();
    refused(nowhere, StoreErrorKind::Unavailable, "cannot be reached");
    let socket = impatient("unix:///nowhere/socket?pass=secret").build();
    refused(socket, StoreErrorKind::Unavailable, "cannot be reached");
}

#[test]
fn a_socket_and_another_database_work() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &format!("{}/5", server.url()));
    node.lease(10);
    let socket = server.socket();
    let mut by_socket = Node::new("b", &format!("unix://{}?db=5", socket.display()));
    assert_eq!(by_socket.synced().held_elsewhere, 10);
    let mut elsewhere = Node::new("b", &format!("unix://{}", socket.display()));
    assert_eq!(elsewhere.store.record("acme").unwrap(), None);
}
