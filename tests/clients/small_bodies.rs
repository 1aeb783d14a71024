//! Bodies that are read to their end, so that the connection can stay.

use tower_storage_guard::Linger;

use crate::{
    raw::Client,
    server::{LARGE, Server},
};

/// The largest that counts as small.
const SMALL: usize = 64 << 10;

#[test]
fn the_connection_serves_the_next_request() {
    let server = Server::start(Linger::default());
    server.disk.probe().set_available(1000);
    server.disk.sample();
    let mut client = Client::connect(server.address);
    let head = format!("content-length: {SMALL}");
    for _ in 0..3 {
        client.put(&[&head]);
        // The answer is there before the body is.
        let answer = client.answer();
        answer.assert_is_refusal();
        assert_eq!(answer.header("connection"), None);
        client.send_zeros(SMALL).expect("it is read");
    }
    client.put(&["content-length: 100"]);
    client.send_zeros(100).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.body), (200, "100"));
}

#[test]
fn it_stays_when_no_other_can_be_kept() {
    let server = Server::start(Linger::default().hold_for(LONG).connections(1));
    let mut kept = Client::connect(server.address);
    kept.put(&[&format!("content-length: {LARGE}")]);
    kept.answer().assert_is_refusal();
    server.disk.probe().set_available(0);
    server.disk.sample();
    let mut client = Client::connect(server.address);
    for _ in 0..3 {
        client.put(&[&format!("content-length: {SMALL}")]);
        let answer = client.answer();
        answer.assert_is_refusal();
        assert_eq!(answer.header("connection"), None);
        client.send_zeros(SMALL).expect("it is read");
    }
    let report = server.layer.report();
    assert_eq!((report.lingering, report.lingered, report.linger_overflow), (1, 1, 0));
}

#[test]
fn nothing_of_it_is_left_when_the_body_ends() {
    let server = Server::start(Linger::default().hold_for(LONG));
    server.disk.probe().set_available(0);
    server.disk.sample();
    let mut client = Client::connect(server.address);
    client.put(&[&format!("content-length: {SMALL}")]);
    client.answer().assert_is_refusal();
    assert_eq!(server.tasks(), 2);
    client.send_zeros(SMALL).unwrap();
    crate::server::eventually("only the connection is left", || server.tasks() == 1);
}

/// Longer than any test.
const LONG: std::time::Duration = std::time::Duration::from_secs(300);

#[test]
fn one_byte_more_is_not_small() {
    let server = Server::start(Linger::default());
    server.disk.probe().set_available(0);
    server.disk.sample();
    for length in [SMALL as u64 + 1, LARGE] {
        let mut client = Client::connect(server.address);
        client.put(&[&format!("content-length: {length}")]);
        assert_eq!(client.answer().header("connection"), Some("close"));
    }
}
