//! Clients that take their time.

use std::time::Duration;

use tower_storage_guard::Linger;

use crate::{
    case::{assert_at_rest, assert_is_served},
    raw::{Client, End},
    server::{Ending, FREE, LARGE, Seen, Server, eventually},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "slow::a_head_that_never_ends_holds_nothing",
            "a head that never ends",
            "nothing, others are served",
            "nothing",
        ),
        Row::new(
            "slow::a_slow_body_holds_what_it_said_until_its_client_goes",
            "a body of known length, byte by byte",
            "nothing, others are served beside what it holds",
            "what came, then an error when the client goes",
        ),
        Row::new(
            "slow::a_slow_body_of_unknown_length_holds_what_came",
            "chunks of one byte, one by one",
            "nothing, others are served",
            "what came, then an error when the client goes",
        ),
        Row::new(
            "slow::who_is_refused_and_drips_is_let_go_in_time",
            "refused, and goes on byte by byte",
            "507, closed when the linger is over",
            "nothing",
        ),
        Row::new(
            "slow::there_are_as_many_places_as_were_said",
            "300 refused that stay",
            "507; 128 are kept for a moment, the others closed at once",
            "nothing",
        ),
    ]
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn a_head_that_never_ends_holds_nothing() {
    let server = Server::start(Linger::default());
    let mut slow: Vec<_> = (0..50).map(|_| Client::connect(server.address)).collect();
    for client in &mut slow {
        client
            .send(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\nx: ")
            .unwrap();
    }
    for _ in 0..3 {
        for client in &mut slow {
            client.send(b"x").unwrap();
        }
        assert_is_served(&mut Client::connect(server.address), 1000);
        server.disk.sample();
    }
    assert_eq!((server.disk.report().held, server.seen().len()), (0, 3));
    drop(slow);
    assert_at_rest(&server);
}

#[test]
fn a_slow_body_holds_what_it_said_until_its_client_goes() {
    let server = Server::start(Linger::default());
    let length = FREE / 4;
    let mut slow: Vec<_> = (0..3).map(|_| Client::connect(server.address)).collect();
    for (number, client) in (1..).zip(&mut slow) {
        client.put(&[&format!("content-length: {length}")]);
        eventually("it is held", || server.disk.report().held == number * length);
    }
    for _ in 0..3 {
        for client in &mut slow {
            client.send(b"x").unwrap();
        }
        assert_is_served(&mut Client::connect(server.address), 1000);
        // However often the disk is looked at.
        assert_eq!(server.disk.sample().held, 3 * length);
    }
    let mut late = Client::connect(server.address);
    late.put(&[&format!("content-length: {}", FREE / 2)]);
    late.answer().assert_is_refusal();
    drop((slow, late));
    assert_at_rest(&server);
    assert_gave_up(&server.seen()[3..], 3);
}

#[test]
fn a_slow_body_of_unknown_length_holds_what_came() {
    let server = Server::start(Linger::default());
    let mut slow: Vec<_> = (0..50).map(|_| Client::connect(server.address)).collect();
    for client in &mut slow {
        client.put(&["transfer-encoding: chunked"]);
    }
    for round in 1..=3 {
        for client in &mut slow {
            client.send(b"1\r\nx\r\n").unwrap();
        }
        // A hold that grows is at most twice as large as what came.
        eventually("it is held", || {
            (50 * round..=100 * round).contains(&server.disk.report().held)
        });
        assert_is_served(&mut Client::connect(server.address), 1000);
        server.disk.sample();
    }
    drop(slow);
    assert_at_rest(&server);
    assert_gave_up(&server.seen()[3..], 50);
}

/// They saw three bytes, and then no end.
#[track_caller]
fn assert_gave_up(seen: &[Seen], clients: usize) {
    assert_eq!(seen.len(), clients);
    let is_right = |seen: &Seen| seen.bytes == 3 && seen.ending != Ending::Whole;
    assert!(seen.iter().all(is_right), "{seen:?}");
}

#[test]
fn who_is_refused_and_drips_is_let_go_in_time() {
    // A place for ever, so that it is the time that ends the other.
    for (time, is_let_go) in [(Duration::from_millis(100), true), (LONG, false)] {
        let server = Server::start(Linger::default().hold_for(time));
        let mut client = Client::connect(server.address);
        client.put(&[&format!("content-length: {LARGE}")]);
        client.answer().assert_is_refusal();
        if is_let_go {
            eventually("it is let go", || client.send(b"x").is_err());
            eventually("nothing is left of it", || server.tasks() == 0);
        } else {
            for _ in 0..100 {
                client.send(b"x").expect("kept");
            }
            assert_eq!((server.tasks(), server.layer.report().lingering), (2, 1));
        }
        drop(client);
        assert_at_rest(&server);
        assert_eq!(server.seen(), []);
    }
}

#[test]
fn there_are_as_many_places_as_were_said() {
    let server = Server::start(Linger::default().hold_for(LONG));
    let mut crowd: Vec<_> = (0..300)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.put(&[&format!("content-length: {LARGE}")]);
            client.answer().assert_is_refusal();
            client
        })
        .collect();
    eventually("the others are let go", || {
        server.layer.report().linger_overflow == 300 - 128
    });
    let report = server.layer.report();
    assert_eq!((report.lingering, report.lingered), (128, 128));
    assert_is_served(&mut Client::connect(server.address), 1000);
    server.disk.sample();
    let kept = crowd.split_off(128);
    for mut client in kept {
        assert_ne!(client.end_within(crate::raw::PATIENCE), End::Open);
    }
    drop(crowd);
    assert_at_rest(&server);
    assert_eq!(server.seen().len(), 1);
}
