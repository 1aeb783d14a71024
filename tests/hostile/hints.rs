//! Headers that tell how much will be stored, and lie.

use std::time::Duration;

use tower_storage_guard::Linger;

use crate::{
    case::{assert_at_rest, assert_is_served, statuses},
    chunks::chunked,
    raw::Client,
    server::{Ending, FREE, Server},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    let names = "`Upload-Length`, `X-Expected-Entity-Length`, `OC-Total-Length` or `X-Amz-Decoded-Content-Length`";
    let low = "hints::a_low_hint_lets_nothing_in";
    let high = "hints::a_high_hint_costs_its_own_request_only";
    let other = "hints::what_is_no_number_is_no_hint";
    vec![
        Row::new(
            low,
            format!("{names} too low, more than fits in chunks"),
            "507",
            "what fits, then an error",
        ),
        Row::new(
            low,
            "the same with a `Content-Length` that does not fit",
            "507",
            "nothing",
        ),
        Row::new(high, "one of them too high", "507, others are served", "nothing"),
        Row::new(
            high,
            "one of them beyond all that could ever fit",
            "413, others are served",
            "nothing",
        ),
        Row::new(
            high,
            "one of them repeated, low and high",
            "507: the highest counts",
            "nothing",
        ),
        Row::new(
            high,
            "one of them too high, but the body has a length",
            "200",
            "the bytes that come",
        ),
        Row::new(
            other,
            "one of them negative, hexadecimal, empty, a list or no number",
            "200",
            "the bytes that come",
        ),
    ]
}

const NAMES: [&str; 4] = [
    "upload-length",
    "x-expected-entity-length",
    "oc-total-length",
    "x-amz-decoded-content-length",
];

#[test]
fn a_low_hint_lets_nothing_in() {
    for name in NAMES {
        for hint in ["0", "1"] {
            let server = server();
            let lines = format!("{name}: {hint}\r\ntransfer-encoding: chunked");
            assert_eq!(put(&server, &lines, &chunked(&[FREE as usize / 2; 4])), [507], "{name}");
            let seen = server.seen();
            assert_eq!(seen.len(), 1, "{name}");
            assert!(seen[0].ending != Ending::Whole && seen[0].bytes <= FREE, "{seen:?}");

            let lines = format!("{name}: {hint}\r\ncontent-length: {}", FREE + 1);
            assert_eq!(put(&server, &lines, &[]), [507], "{name}");
            assert_eq!(server.seen().len(), 1, "{name}");
            assert_at_rest(&server);
        }
    }
}

#[test]
fn a_high_hint_costs_its_own_request_only() {
    for name in NAMES {
        let server = server();
        for (hints, status) in [
            (vec![FREE + 1], 507),
            (vec![1 << 40], 507),
            (vec![(1 << 40) + 1], 413),
            (vec![u64::MAX], 413),
            (vec![1, FREE + 1], 507),
            (vec![FREE + 1, 1], 507),
        ] {
            let lines: String = hints.iter().map(|hint| format!("{name}: {hint}\r\n")).collect();
            let lines = format!("{lines}transfer-encoding: chunked");
            assert_eq!(put(&server, &lines, &chunked(&[10])), [status], "{lines}");
            assert_eq!(server.disk.report().held, 0, "{lines}");
            assert_is_served(&mut Client::connect(server.address), 1000);
            server.disk.sample();
        }
        assert!(
            server.seen().iter().all(|seen| seen.bytes == 1000),
            "{:?}",
            server.seen()
        );

        // What has a length needs no second opinion.
        assert_eq!(
            put(&server, &format!("{name}: {}\r\ncontent-length: 5", u64::MAX), b"hello"),
            [200]
        );
        assert_at_rest(&server);
    }
}

#[test]
fn what_is_no_number_is_no_hint() {
    for name in NAMES {
        let server = server();
        for hint in [
            "-1",
            "+9999999",
            "0x7fffffff",
            "",
            "9999999, 9999999",
            "9999999.0",
            "1e9",
            "much",
            "\u{669}\u{669}",
        ] {
            let lines = format!("{name}: {hint}\r\ntransfer-encoding: chunked");
            assert_eq!(put(&server, &lines, &chunked(&[10])), [200], "{lines}");
            server.disk.sample();
        }
        assert!(server.seen().iter().all(|seen| seen.bytes == 10));
        assert_at_rest(&server);
    }
}

fn server() -> Server {
    Server::start(Linger::default().hold_for(Duration::from_millis(50)))
}

/// All answers on a connection of its own.
fn put(server: &Server, lines: &str, body: &[u8]) -> Vec<u16> {
    let mut client = Client::connect(server.address);
    client.put(&[lines, "connection: close"]);
    let _ = client.send(body);
    statuses(&client.rest())
}
