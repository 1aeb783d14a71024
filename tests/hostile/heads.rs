//! Heads that are large, odd, or full of wishes.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{Guarded, Linger, StorageGuardLayer, test_util::FakeResource};

use crate::{
    case::assert_at_rest,
    frames::{ENHANCE_YOUR_CALM, Outcome, Wire},
    raw::Client,
    server::{FREE, Server},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "heads::wishes_are_read_to_the_last",
            "refused; `Accept` with 5,000 entries",
            "507 in the format that it prefers",
            "nothing",
        ),
        Row::new(
            "heads::wishes_are_read_to_the_last",
            "refused; `Accept` that is no text, or makes no sense",
            "507 as problem details",
            "nothing",
        ),
        Row::new(
            "heads::signs_of_several_protocols_get_one_answer",
            "refused; the signs of six protocols at once",
            "one answer of one of them",
            "nothing",
        ),
        Row::new(
            "heads::what_is_asked_for_costs_no_memory",
            "refused; `Accept` with 5,000 entries, the sign of a protocol 45 times",
            "the same answer for the same memory",
            "nothing",
        ),
        Row::new(
            "heads::a_head_has_an_end",
            "a head of 2 MB, or of 1,000 lines",
            "431",
            "nothing",
        ),
        Row::new(
            "heads::a_head_has_an_end",
            "HTTP/2: a head of 64 KiB",
            "`GOAWAY` with `ENHANCE_YOUR_CALM`",
            "nothing",
        ),
    ]
}

#[test]
fn wishes_are_read_to_the_last() {
    let server = Server::start(Linger::off());
    let many = |last: &str| format!("{}{last}", "a/b;q=0.1;x=y, ".repeat(5000));
    for (accept, content_type) in [
        (many("text/html").into_bytes(), "text/html; charset=utf-8"),
        (many("text/plain").into_bytes(), "text/plain; charset=utf-8"),
        (many("*/*;q=0").into_bytes(), "application/problem+json"),
        (vec![b','; 100_000], "application/problem+json"),
        (vec![b';'; 100_000], "application/problem+json"),
        // What is no quality counts as not there.
        (b"text/html;q=".repeat(5000), "text/html; charset=utf-8"),
        (vec![0xff; 1000], "application/problem+json"),
        (b"text/html\xff".to_vec(), "application/problem+json"),
        (b"text/html;q=99999999999999999999".to_vec(), "text/html; charset=utf-8"),
        (b"text/html;q=0.00000000000000001".to_vec(), "text/html; charset=utf-8"),
        (b"text/html;q=-1".to_vec(), "text/html; charset=utf-8"),
    ] {
        let mut client = Client::connect(server.address);
        let mut head = format!("PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\naccept: ", 2 * FREE).into_bytes();
        head.extend(&accept);
        head.extend(b"\r\n\r\n");
        client.send(&head).unwrap();
        let answer = client.answer();
        let start = accept[..accept.len().min(40)].escape_ascii();
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (507, Some(content_type)),
            "{start}"
        );
    }
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}

const SIGNS: [&str; 6] = [
    "content-type: application/grpc",
    "connect-protocol-version: 1",
    "tus-resumable: 1.0.0",
    "upload-complete: ?1",
    "x-amz-date: 20260101T000000Z",
    "accept: application/vnd.git-lfs+json",
];

#[test]
fn signs_of_several_protocols_get_one_answer() {
    let server = Server::start(Linger::off());
    let length = format!("content-length: {}", 2 * FREE);
    for turn in 0..SIGNS.len() {
        let mut lines = SIGNS.to_vec();
        lines.rotate_left(turn);
        lines.push(&length);
        let mut client = Client::connect(server.address);
        client.put(&lines);
        let received = client.rest();
        assert_eq!(received.matches("HTTP/1.1 ").count(), 1, "{received}");
        // Of gRPC, whatever comes first.
        assert!(received.contains("grpc-status: 8\r\n"), "{received}");
        assert!(!received.contains("tus-resumable"), "{received}");
    }
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}

/// What is asked for is looked at where it stands.
#[test]
fn what_is_asked_for_costs_no_memory() {
    let disk = FakeResource::new(1 << 40, FREE);
    let layer = StorageGuardLayer::builder().resource(disk.resource()).build().unwrap();
    let service = layer.layer(service_fn(async |_: Request<Guarded<Full<Bytes>>>| {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    }));
    let body = Bytes::from(vec![0; 2 * FREE as usize]);
    let cost = |accept: &str, times: usize| {
        let mut request = Request::put("/").header("accept", accept);
        for _ in 0..times {
            request = request.header("x-amz-date", "now").header("accept", accept);
        }
        let request = request.body(Full::from(body.clone())).unwrap();
        let answer = service.clone().oneshot(request);
        let mut status = None;
        let memory = allocation_counter::measure(|| {
            status = Some(answer.now_or_never().expect("nothing is waited for").unwrap().status());
        });
        assert_eq!(status.unwrap(), 507);
        memory.bytes_total
    };
    let many = "a/b;q=0.1;x=y, ".repeat(5000);
    // What is made once.
    cost("a/b", 1);
    assert_eq!(cost(&many, 0), cost("a/b", 0));
    assert_eq!(cost(&many, 45), cost("a/b", 1));
}

#[test]
fn a_head_has_an_end() {
    let server = Server::start(Linger::off());
    let long = format!("x: {}\r\n", "x".repeat(2_000_000));
    for lines in [long, "x: y\r\n".repeat(1000)] {
        let mut client = Client::connect(server.address);
        let _ = client.send(format!("PUT / HTTP/1.1\r\nhost: t\r\n{lines}\r\n").as_bytes());
        let received = client.rest();
        // The answer is lost if the server has closed while there was more to read.
        assert!(
            received.is_empty() || received.starts_with("HTTP/1.1 431 "),
            "{received}"
        );
    }
    let mut wire = Wire::connect(server.address);
    wire.put(1, &[("x", &"x".repeat(64 << 10))]).unwrap();
    assert_eq!(wire.outcome(1), Outcome::GoAway(ENHANCE_YOUR_CALM));
    drop(wire);
    assert_at_rest(&server);
    assert_eq!(server.seen(), []);
}
