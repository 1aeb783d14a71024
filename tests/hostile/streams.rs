//! Streams of HTTP/2 that break its rules, or use them up.

use tower_storage_guard::Linger;

use crate::{
    case::assert_at_rest,
    frames::{ENHANCE_YOUR_CALM, Outcome, PROTOCOL_ERROR, Wire},
    server::{Ending, FREE, Server, eventually},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "streams::data_that_disagrees_with_its_length_is_an_error",
            "HTTP/2: more data than `content-length`",
            "`RST_STREAM`",
            "what was promised at most, then an error",
        ),
        Row::new(
            "streams::data_that_disagrees_with_its_length_is_an_error",
            "HTTP/2: less data than `content-length`",
            "`RST_STREAM`",
            "what came, then an error",
        ),
        Row::new(
            "streams::malformed_lengths_never_reach_the_handler",
            "HTTP/2: `content-length` that is none, negative or beyond 2^64",
            "`RST_STREAM`",
            "nothing",
        ),
        Row::new(
            "streams::a_stream_without_an_end_holds_what_it_said",
            "HTTP/2: no `END_STREAM`",
            "nothing, others are served",
            "what came, then an error when the client goes",
        ),
        Row::new(
            "streams::a_flood_of_resets_ends_the_connection",
            "HTTP/2: 2,000 streams, each reset at once",
            "`GOAWAY` with `ENHANCE_YOUR_CALM`",
            "errors, for those that hyper let through",
        ),
        Row::new(
            "streams::a_flood_of_small_frames_ends_the_connection",
            "HTTP/2: 200,000 frames of one byte",
            "`GOAWAY` with `ENHANCE_YOUR_CALM`",
            "what came, then an error",
        ),
        Row::new(
            "streams::an_answer_waits_for_a_tiny_window",
            "HTTP/2: a window of one byte, refused",
            "507, the rest byte by byte",
            "nothing",
        ),
        Row::new(
            "streams::answers_that_nobody_takes_hold_nothing",
            "HTTP/2: a window of nothing, 100 refused streams",
            "507 without a body, others are served",
            "nothing",
        ),
    ]
}

#[test]
fn data_that_disagrees_with_its_length_is_an_error() {
    // An empty one counts as 0.
    for (length, bytes) in [("10", 20), ("10", 5), ("", 5)] {
        let server = Server::start(Linger::default());
        let mut wire = Wire::connect(server.address);
        wire.put(1, &[("content-length", length)]).unwrap();
        wire.data(1, bytes, true).unwrap();
        assert_eq!(
            wire.outcome(1),
            Outcome::Reset(PROTOCOL_ERROR),
            "{bytes} of {length} bytes"
        );
        drop(wire);
        assert_at_rest(&server);
        for seen in server.seen() {
            assert!(seen.ending != Ending::Whole && seen.bytes <= 10, "{seen:?}");
        }
    }
}

#[test]
fn malformed_lengths_never_reach_the_handler() {
    for length in ["5, 6", "-5", "+5", "0x5", "18446744073709551616"] {
        let server = Server::start(Linger::default());
        let mut wire = Wire::connect(server.address);
        wire.put(1, &[("content-length", length)]).unwrap();
        wire.data(1, 5, true).unwrap();
        assert_eq!(wire.outcome(1), Outcome::Reset(PROTOCOL_ERROR), "`{length}`");
        drop(wire);
        assert_at_rest(&server);
        assert_eq!(server.seen(), []);
    }
}

#[test]
fn a_stream_without_an_end_holds_what_it_said() {
    let server = Server::start(Linger::default());
    let mut endless = Wire::connect(server.address);
    let length = FREE / 2;
    endless.put(1, &[("content-length", &length.to_string())]).unwrap();
    endless.data(1, 100, false).unwrap();
    eventually("it is held", || server.disk.report().held == length);

    // On the same connection, and on another.
    endless.put(3, &[("content-length", "10")]).unwrap();
    endless.data(3, 10, true).unwrap();
    assert_eq!(endless.outcome(3), Outcome::Status(200));
    let mut other = Wire::connect(server.address);
    other.put(1, &[("content-length", &FREE.to_string())]).unwrap();
    assert_eq!(other.outcome(1), Outcome::Status(507), "half of it is held");
    other.put(3, &[("content-length", "10")]).unwrap();
    other.data(3, 10, true).unwrap();
    assert_eq!(other.outcome(3), Outcome::Status(200));

    server.disk.sample();
    assert_eq!(server.disk.report().held, length, "all this time, and no more");
    drop((endless, other));
    assert_at_rest(&server);
    let endings: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| (seen.bytes, seen.ending == Ending::Whole))
        .collect();
    assert_eq!(endings, [(10, true), (10, true), (100, false)]);
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let server = Server::start(Linger::default());
    let mut flood = Wire::connect(server.address);
    for stream in (0..2000).map(|number| 2 * number + 1) {
        let begun = flood.put(stream, &[("content-length", "1000")]);
        if begun.and_then(|()| flood.reset(stream)).is_err() {
            break;
        }
    }
    // The goodbye is lost if the server has closed while there was more to read.
    let end = flood.outcome(1);
    assert!(
        [Outcome::GoAway(ENHANCE_YOUR_CALM), Outcome::Closed].contains(&end),
        "{end:?}"
    );
    assert!(server.disk.report().held <= FREE);
    drop(flood);
    assert_at_rest(&server);
    assert!(server.seen().iter().all(|seen| seen.ending != Ending::Whole));
}

#[test]
fn a_flood_of_small_frames_ends_the_connection() {
    let server = Server::start(Linger::default());
    let mut flood = Wire::connect(server.address);
    flood.put(1, &[("content-length", "200000")]).unwrap();
    for _ in 0..200_000 {
        if flood.data(1, 1, false).is_err() {
            break;
        }
    }
    let end = flood.outcome(1);
    assert!(
        [Outcome::GoAway(ENHANCE_YOUR_CALM), Outcome::Closed].contains(&end),
        "{end:?}"
    );
    drop(flood);
    assert_at_rest(&server);
    let seen = server.seen();
    // None, where the connection ends before the handler was called.
    assert!(seen.len() <= 1, "{seen:?}");
    for seen in seen {
        assert!(seen.bytes < 200_000 && seen.ending != Ending::Whole, "{seen:?}");
    }
}

#[test]
fn an_answer_waits_for_a_tiny_window() {
    let server = Server::start(Linger::default());
    let mut wire = Wire::with_window(server.address, 1);
    wire.put(1, &[("content-length", &(2 * FREE).to_string())]).unwrap();
    assert_eq!(wire.outcome(1), Outcome::Status(507));
    assert_eq!(server.disk.report().held, 0);
    let problem: serde_json::Value = serde_json::from_slice(&wire.body(1)).expect("whole");
    assert_eq!(problem["status"], 507);
    drop(wire);
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}

#[test]
fn answers_that_nobody_takes_hold_nothing() {
    let server = Server::start(Linger::default());
    let mut wire = Wire::with_window(server.address, 0);
    for stream in (0..100).map(|number| 2 * number + 1) {
        wire.put(stream, &[("content-length", &(2 * FREE).to_string())])
            .unwrap();
        assert_eq!(wire.outcome(stream), Outcome::Status(507));
    }
    assert_eq!(server.disk.report().held, 0);
    assert_eq!(server.layer.report().lingering, 0, "they wait in the connection");
    let mut other = Wire::connect(server.address);
    other.put(1, &[("content-length", "10")]).unwrap();
    other.data(1, 10, true).unwrap();
    assert_eq!(other.outcome(1), Outcome::Status(200));
    drop((wire, other));
    assert_at_rest(&server);
    assert_eq!(server.seen().len(), 1);
}
