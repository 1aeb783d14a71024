//! Clients that ask before they send.

use std::time::Duration;

use tower_storage_guard::{Linger, State};

use crate::{
    raw::Client,
    server::{LARGE, Server},
};

/// Longer than the time that a server may take to close what it does not keep.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn they_are_not_told_to_go_on() {
    // Were the body kept, so would be the connection.
    let server = Server::start(Linger::default().hold_for(LONG));
    for expectation in ["100-continue", "100-Continue"] {
        for length in [LARGE, 1 << 21] {
            let mut client = Client::connect(server.address);
            client.put(&[&format!("expect: {expectation}"), &format!("content-length: {length}")]);
            assert_is_all(&client.rest());
        }
    }
}

#[test]
fn nor_are_those_of_unknown_or_small_length() {
    let server = Server::start(Linger::default().hold_for(LONG));
    server.disk.force_state(Some(State::Full));
    for length in ["transfer-encoding: chunked", "content-length: 1"] {
        let mut client = Client::connect(server.address);
        client.put(&["expect: 100-continue", length]);
        assert_is_all(&client.rest());
    }
}

/// One answer, after which the server has closed the connection.
#[track_caller]
fn assert_is_all(received: &str) {
    assert!(received.starts_with("HTTP/1.1 507 "), "{received}");
    assert_eq!(received.matches("HTTP/1.1").count(), 1, "{received}");
    assert!(received.contains("connection: close\r\n"), "{received}");
    let (_, body) = received.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str::<serde_json::Value>(body).expect("whole");
}
