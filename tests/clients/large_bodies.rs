//! Bodies that nobody reads to their end.

use std::time::Duration;

use tower_storage_guard::Linger;

use crate::{
    raw::{Client, End, chunk},
    server::{LARGE, Server},
};

/// How late a client looks for the answer. Without a moment's patience the server has reset the connection by then.
const LATE: Duration = Duration::from_millis(300);

#[test]
fn the_answer_comes_while_the_client_sends() {
    let server = Server::start(Linger::default());
    let mut client = Client::connect(server.address);
    client.put(&[&format!("content-length: {LARGE}")]);
    let sending = client.keep_sending(vec![0; 1 << 16]);
    assert!(sending.lasts(LATE), "turned away before it could read");
    let answer = client.answer();
    answer.assert_is_refusal();
    assert_eq!(answer.header("connection"), Some("close"));
    sending.stop(&client);
}

#[test]
fn the_answer_comes_while_the_client_sends_chunks() {
    let server = Server::start(Linger::default());
    let mut client = Client::connect(server.address);
    client.put(&["transfer-encoding: chunked"]);
    let sending = client.keep_sending(chunk());
    crate::server::eventually("a refusal", || server.refusals() > 0);
    assert!(sending.lasts(LATE), "turned away before it could read");
    let answer = client.answer();
    answer.assert_is_refusal();
    assert_eq!(answer.header("connection"), Some("close"));
    sending.stop(&client);
}

/// As long as it lives with a broken pipe.
#[test]
fn the_answer_is_there_for_a_client_that_reads_only_when_it_has_sent() {
    let server = Server::start(Linger::default().hold_for(LATE));
    let mut client = Client::connect(server.address);
    client.put(&[&format!("content-length: {LARGE}")]);
    let sending = client.keep_sending(vec![0; 1 << 16]);
    assert!(sending.fails(), "there is an end to patience");
    client.answer().assert_is_refusal();
}

/// What is read at most is enough for it.
#[test]
fn a_client_that_reads_only_when_it_has_sent_a_quarter_of_a_megabyte_is_not_turned_away() {
    let server = Server::start(Linger::default());
    server.disk.probe().set_available(0);
    server.disk.sample();
    for _ in 0..5 {
        let mut client = Client::connect(server.address);
        client.put(&[&format!("content-length: {}", 1 << 18)]);
        client.send_zeros(1 << 18).expect("not turned away");
        client.answer().assert_is_refusal();
        assert_eq!(client.end_within(crate::raw::PATIENCE), End::Closed);
    }
}
