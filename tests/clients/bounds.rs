//! How long and how many connections are kept.

use std::time::{Duration, Instant};

use tower_storage_guard::Linger;

use crate::{
    raw::{Client, End, PATIENCE},
    server::{LARGE, Server, eventually},
};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(300);

/// Long enough to tell that something stays open.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn the_hold_ends() {
    let server = Server::start(Linger::default().hold_for(Duration::from_secs(1)));
    let start = Instant::now();
    let mut client = refused(&server);
    assert_ne!(client.end_within(PATIENCE), End::Open);
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    eventually("all are gone", || server.tasks() == 0);
}

#[test]
fn it_ends_at_once_when_switched_off() {
    for linger in [
        Linger::off(),
        Linger::off().hold_for(LONG),
        Linger::default().hold_for(LONG).connections(0),
        Linger::default().hold_for(Duration::ZERO),
    ] {
        let server = Server::start(linger);
        let mut client = refused(&server);
        assert_ne!(client.end_within(PATIENCE), End::Open, "{linger:?}");
        eventually("all are gone", || server.tasks() == 0);
    }
}

#[test]
fn there_are_only_so_many_places() {
    let server = Server::start(Linger::default().hold_for(LONG).connections(2));
    let mut kept = [refused(&server), refused(&server)];
    for _ in 0..3 {
        let mut above = refused(&server);
        assert_ne!(above.end_within(PATIENCE), End::Open);
    }
    for client in &mut kept {
        assert_eq!(client.end_within(A_WHILE), End::Open);
    }
    assert_eq!(server.tasks(), 4);
}

#[test]
fn a_place_is_free_again() {
    let server = Server::start(Linger::default().connections(1).hold_for(A_WHILE));
    for _ in 0..3 {
        let mut client = refused(&server);
        assert_eq!(client.end_within(A_WHILE / 3), End::Open);
        assert_ne!(client.end_within(PATIENCE), End::Open);
        eventually("all are gone", || server.tasks() == 0);
    }
}

/// Has its answer, and has sent some more than is read.
fn refused(server: &Server) -> Client {
    let mut client = Client::connect(server.address);
    client.put(&[&format!("content-length: {LARGE}")]);
    let answer = client.answer();
    answer.assert_is_refusal();
    assert_eq!(answer.header("connection"), Some("close"));
    // Unless it was turned away by now.
    let _ = client.send_zeros(1 << 19);
    client
}
