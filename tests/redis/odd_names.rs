//! Each tenant has a key of its own, whatever its name.

use std::collections::HashSet;

use proptest::prelude::*;
use tower_storage_guard::LeaseStore;

use crate::{
    node::{Node, patient},
    redis_server::RedisServer,
};

#[test]
fn each_tenant_and_each_node_is_told_apart() {
    let Some(server) = RedisServer::start() else { return };
    let long = "x".repeat(100_000);
    let names = [
        "",
        " ",
        "a",
        "A",
        "a}",
        "{a",
        "{a}",
        "}{",
        "%",
        "%7D",
        "%257D",
        "a:b",
        "a\r\n",
        "a\0",
        "a\0b",
        "*",
        "é",
        "e\u{301}",
        "sg:{a}",
        "node:a",
        "limit",
        &long,
        "\"",
        "\u{10FFFF}",
    ];
    let mut nodes = names.map(|name| Node::new(name, &server.url()));
    for (number, (node, tenant)) in nodes.iter_mut().zip(names).enumerate() {
        node.says.tenant = tenant.into();
        assert_eq!(node.lease(number as u64 + 1), number as u64 + 1);
        node.store
            .set_limit(tenant, Some(tower_storage_guard::Limit::bytes(500)))
            .unwrap();
    }
    for (number, (node, name)) in nodes.iter_mut().zip(names).enumerate() {
        let record = node.store.record(name).unwrap().unwrap();
        let held: Vec<_> = record.nodes.iter().map(|(name, node)| (&**name, node.hold)).collect();
        assert_eq!(held, [(name, number as u64 + 1)]);
    }
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    assert_eq!(keys.len(), names.len());

    // All names as nodes of one tenant.
    for node in &mut nodes {
        node.says.tenant = "one".into();
        node.synced();
    }
    let record = nodes[0].store.record("one").unwrap().unwrap();
    let known: HashSet<_> = record.nodes.keys().map(|name| &**name).collect();
    assert_eq!(known, HashSet::from(names));
}

#[test]
fn programs_with_other_prefixes_do_not_meet() {
    let Some(server) = RedisServer::start() else { return };
    let mut node = Node::new("a", &server.url());
    node.lease(1000);
    for prefix in ["", "other", "sg:", "sg:x"] {
        let mut other = Node::new("b", &server.url());
        other.store = patient(&server.url()).prefix(prefix).build().unwrap();
        assert_eq!(other.lease(1000), 1000, "{prefix}");
    }
}

/// What a cluster looks at to find the slot: the text between the first `{` and the first `}` after it.
fn hash_tag(key: &str) -> &str {
    let (_, rest) = key.split_once('{').unwrap();
    rest.split_once('}').unwrap().0
}

#[test]
fn a_name_is_all_that_decides_on_the_slot() {
    let Some(server) = RedisServer::start() else { return };
    let store = std::cell::RefCell::new(patient(&server.url()).build().unwrap());
    proptest!(ProptestConfig::with_cases(200), |(name in ".{0,20}|[{}%:a ]{0,8}")| {
        let () = server.command(&["FLUSHALL"]);
        store.borrow_mut().set_limit(&name, Some(tower_storage_guard::Limit::UNLIMITED)).unwrap();
        let keys: Vec<String> = server.command(&["KEYS", "*"]);
        prop_assert_eq!(keys.len(), 1);
        prop_assert_eq!(&keys[0], &format!("sg:{{{}}}", hash_tag(&keys[0])));
        prop_assert_eq!(decoded(hash_tag(&keys[0])), name.as_bytes());
    });
}

/// As in URLs.
fn decoded(mut text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((before, after)) = text.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        text = &after[2..];
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
