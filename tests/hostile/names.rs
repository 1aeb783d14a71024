//! Tenants that nobody has heard of. What a ledger makes of a million names by itself is in tests/ledger/names.rs.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{Guarded, Ledger, Limit, Linger, StorageGuardLayer, TenantFrom, test_util::FakeResource};

use crate::{
    raw::Client,
    server::{FREE, Server, eventually},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "names::a_million_made_up_tenants_leave_nothing_behind",
            "a million made-up tenants that are refused or fail",
            "413 or the handler's error; known tenants are served",
            "those within the limit",
        ),
        Row::new(
            "names::a_table_that_is_full_serves_those_it_knows",
            "3,000 made-up tenants that store one byte each, where there is room for 1,000 tenants",
            "200 while there is room, then 503; known tenants are served",
            "those there was room for",
        ),
        Row::new(
            "names::what_is_no_name_is_refused",
            "a tenant's name that is missing, empty, too long, no UTF-8 or told twice",
            "403",
            "nothing",
        ),
    ]
}

const TENANT: HeaderName = HeaderName::from_static("x-tenant");
const KNOWN: usize = 10;
const LIMIT: u64 = 1000;

fn ledger() -> Ledger {
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(LIMIT))
        .max_tenants(1000)
        .build()
        .unwrap();
    for known in 0..KNOWN {
        ledger.charge(&format!("known-{known}"), 10);
    }
    ledger
}

#[test]
fn a_million_made_up_tenants_leave_nothing_behind() {
    let ledger = ledger();
    let disk = FakeResource::new(1 << 40, FREE);
    let layer = StorageGuardLayer::builder()
        .resource(disk.resource())
        .tenant(ledger.clone(), TenantFrom::header(TENANT))
        .build()
        .unwrap();
    let service = layer.layer(service_fn(fails_or_stores));
    let status = |name: &str, bytes: usize| {
        let request = Request::put("/")
            .header(TENANT, name)
            .body(Full::from(vec![0; bytes]))
            .unwrap();
        let answer = service
            .clone()
            .oneshot(request)
            .now_or_never()
            .expect("nothing is waited for");
        answer.expect("the guard answers").status()
    };
    let flood = |names: std::ops::Range<u32>| {
        for number in names {
            let name = format!("made-up-{number}");
            match number % 2 {
                0 => assert_eq!(status(&name, LIMIT as usize + 1), 413),
                _ => assert_eq!(status(&name, 5), 500),
            }
        }
        for known in 0..KNOWN {
            assert_eq!(status(&format!("known-{known}"), 7), 200);
        }
        disk.sample();
    };
    // The table has grown to its size, if it will.
    flood(0..2000);
    let memory = allocation_counter::measure(|| (1..100).for_each(|part| flood(part * 10_000..(part + 1) * 10_000)));
    println!("{memory:?}");
    assert!(memory.bytes_current <= 0, "{memory:?}");
    assert!(memory.bytes_max < 64 << 10, "{memory:?}");

    assert_eq!(ledger.report().tenants, KNOWN);
    for known in 0..KNOWN {
        let usage = ledger.usage(&format!("known-{known}"));
        assert_eq!((usage.used, usage.reserved), (10 + 100 * 7, 0));
    }
    let report = disk.sample();
    assert_eq!((report.held, report.unseen, report.headroom), (0, 0, FREE as i64));
}

/// Stores nothing of five bytes.
async fn fails_or_stores(request: Request<Guarded<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut answer = Response::new(Full::default());
    if body.len() == 5 {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(answer)
}

#[test]
fn a_table_that_is_full_serves_those_it_knows() {
    let ledger = ledger();
    let server = server(&ledger);
    let mut client = Client::connect(server.address);
    let mut status = |tenant: &str| {
        let head = format!("PUT / HTTP/1.1\r\nhost: t\r\nx-tenant: {tenant}\r\ncontent-length: 1\r\n\r\nx");
        client.send(head.as_bytes()).unwrap();
        let answer = client.answer();
        server.disk.sample();
        answer.status
    };
    let room = 1000 - KNOWN;
    for made_up in 0..3000 {
        let expected = if made_up < room { 200 } else { 503 };
        assert_eq!(status(&format!("made-up-{made_up}")), expected, "{made_up}");
        if made_up % 100 == 0 {
            assert_eq!(status(&format!("known-{}", made_up / 100 % KNOWN)), 200);
        }
    }
    assert_eq!(ledger.report().tenants, 1000);
    assert_eq!(ledger.usage("made-up-2999").used, 0);
    for known in 0..KNOWN {
        assert_eq!(ledger.usage(&format!("known-{known}")).used, 10 + 3);
    }
    drop(client);
    assert_eq!(server.seen().len(), room + 30);
    assert_nothing_is_left(&server, &ledger);
}

#[test]
fn what_is_no_name_is_refused() {
    let ledger = ledger();
    let server = server(&ledger);
    let long = format!("x-tenant: {}\r\n", "x".repeat(257));
    let lines: [&[u8]; 5] = [
        b"",
        b"x-tenant: \r\n",
        long.as_bytes(),
        b"x-tenant: \xff\xfe\r\n",
        b"x-tenant: known-1\r\nx-tenant: known-2\r\n",
    ];
    for line in lines {
        let mut client = Client::connect(server.address);
        let head = [b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n", line, b"\r\nx"].concat();
        client.send(&head).unwrap();
        assert_eq!(client.answer().status, 403, "{}", String::from_utf8_lossy(line));
    }
    assert_eq!(server.seen(), []);
    assert_eq!(ledger.report().tenants, KNOWN);
    let mut client = Client::connect(server.address);
    client.put(&["x-tenant: known-1", "content-length: 1"]);
    client.send(b"x").unwrap();
    assert_eq!(client.answer().status, 200);
    drop(client);
    assert_nothing_is_left(&server, &ledger);
}

#[track_caller]
fn assert_nothing_is_left(server: &Server, ledger: &Ledger) {
    eventually("no connection is left", || server.tasks() == 0);
    let report = server.disk.sample();
    assert_eq!((report.held, report.unseen, report.headroom), (0, 0, FREE as i64));
    assert_eq!(server.layer.report().lingering, 0);
    let fullest = ledger.fullest(10_000);
    assert!(fullest.iter().all(|(_, usage)| usage.reserved == 0), "{fullest:?}");
}

fn server(ledger: &Ledger) -> Server {
    Server::with(|guard| {
        guard
            .tenant(ledger.clone(), TenantFrom::header(TENANT))
            .linger(Linger::default())
    })
}
