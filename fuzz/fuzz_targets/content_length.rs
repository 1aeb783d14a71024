//! How long a request's body is, by its head: `Content-Length`, hints and `Transfer-Encoding`, through a whole guard.
#![no_main]

use std::{convert::Infallible, future::ready};

use http::{HeaderMap, Request, Response};
use libfuzzer_sys::fuzz_target;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{
    Guarded, Reason, Refusal, StorageGuardLayer,
    test_util::{FakeResource, ScriptedBody},
};
use tower_storage_guard_fuzz::{Input, Ready, at_once, head};

const TOTAL: u64 = 1 << 40;
const FREE: u64 = 1 << 30;
const LARGEST: u64 = 1 << 35;

/// What a method stores by default.
enum Kind {
    Nothing,
    Stores,
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let exact = match input.below(4) {
        0 => Some(0),
        1 => Some(u64::from(input.u16())),
        2 => Some(input.u64()),
        _ => None,
    };
    let (parts, ()) = head(input.rest()).into_parts();
    let kind = match parts.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "CONNECT" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY" => Kind::Nothing,
        "DELETE" | "UNLOCK" | "MOVE" | "LOCK" => Kind::Nothing,
        _ => Kind::Stores,
    };
    let (length, bytes) = expected(&parts.headers, exact);
    // Unless its other headers make it another protocol's.
    let announces_later_bytes = ["tus-resumable", "upload-complete", "upload-draft-interop-version"]
        .iter()
        .any(|name| parts.headers.contains_key(*name));
    let body = exact.map_or_else(ScriptedBody::new, |bytes| ScriptedBody::new().telling_length(bytes));

    let disk = FakeResource::new(TOTAL, FREE);
    let layer = StorageGuardLayer::builder()
        .resource(disk.resource())
        .max_body(LARGEST)
        .require_length(true)
        .build()
        .unwrap();
    let held = disk.clone();
    let mut service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        let held = held.report().held;
        drop(request);
        let mut response = Response::new(Ready::default());
        response.extensions_mut().insert(held);
        ready(Ok::<_, Infallible>(response))
    }));
    let response = at_once(service.call(Request::from_parts(parts, body))).unwrap();
    let reason = response.extensions().get::<Refusal>().map(Refusal::reason);
    let held = response.extensions().get::<u64>().copied();
    let expected = match kind {
        Kind::Nothing => (None, Some(0)),
        Kind::Stores if bytes > LARGEST => (Some(Reason::TooLarge), None),
        // Whatever a hint says.
        Kind::Stores if length.is_none() => (Some(Reason::LengthRequired), None),
        Kind::Stores if bytes > FREE => (Some(Reason::Space), None),
        Kind::Stores => (None, Some(bytes)),
    };
    assert_eq!((reason, held), expected);

    // The guard refunds what the body did not bring, except what the handler may have allocated by a hint.
    let allocated = if length == Some(0) { held.unwrap_or(0) } else { 0 };
    let report = disk.report();
    let refunds_all = announces_later_bytes && report.headroom == FREE as i64;
    assert!(refunds_all || report.headroom == (FREE - allocated) as i64);
    assert_eq!(report.held, 0);
});

/// The body's length (RFC 9112 section 6.3), and the bytes that are reserved: hints may raise a length that is unknown or zero.
fn expected(headers: &HeaderMap, exact: Option<u64>) -> (Option<u64>, u64) {
    let largest = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| number(value.as_bytes()))
            .max()
    };
    let hint = [
        "upload-length",
        "x-expected-entity-length",
        "oc-total-length",
        "x-amz-decoded-content-length",
    ]
    .into_iter()
    .filter_map(largest)
    .max();
    let length = match exact {
        Some(exact) => Some(exact),
        None if headers.contains_key("transfer-encoding") => None,
        None => largest("content-length"),
    };
    let bytes = match length {
        Some(bytes @ 1..) => bytes,
        _ => hint.unwrap_or(0),
    };
    (length, bytes)
}

/// Digits, however many; what is more than fits is as large as can be.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit());
    is_number
        .then(|| text.trim_start_matches('0'))
        .map(|digits| match digits {
            "" => 0,
            digits => digits.parse().unwrap_or(u64::MAX),
        })
}
