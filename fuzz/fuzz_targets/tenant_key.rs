//! On whose account a request is, by a header or by a part of its path.
#![no_main]

use std::{convert::Infallible, future::ready};

use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use tower::{Layer, Service, service_fn};
use tower_storage_guard::{
    Guarded, Ledger, Limit, MissingTenant, StorageGuardLayer, TenantFrom, test_util::ScriptedBody,
};
use tower_storage_guard_fuzz::{Input, Ready, at_once, head};

const HEADER: HeaderName = HeaderName::from_static("x-tenant");

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let by_path = input.below(2) == 0;
    let place = input.below(4);
    let missing = input.below(3);
    let (mut parts, ()) = head(input.rest()).into_parts();
    parts.method = http::Method::PUT;
    let name = if by_path {
        segment(parts.uri.path(), place)
    } else {
        let mut values = parts.headers.get_all(HEADER).iter();
        let first = values.next().map(|value| value.as_bytes().to_vec());
        first.filter(|_| values.next().is_none())
    };
    let name = name.and_then(|name| String::from_utf8(name).ok());
    let name = name.filter(|name| (1..=256).contains(&name.len()));

    let ledger = Ledger::builder().default_limit(Limit::bytes(1000)).build().unwrap();
    let key = if by_path {
        TenantFrom::path_segment(place)
    } else {
        TenantFrom::header(HEADER)
    };
    let layer = StorageGuardLayer::builder()
        .tenant(ledger.clone(), key)
        .missing_tenant(match missing {
            0 => MissingTenant::Refuse,
            1 => MissingTenant::Pass,
            _ => MissingTenant::Shared("the others".into()),
        })
        .build()
        .unwrap();
    let mut service = layer.layer(service_fn(|request: Request<Guarded<ScriptedBody>>| {
        at_once(request.into_body().collect()).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Ready::default())))
    }));
    let body = ScriptedBody::new().data(600).telling_length(600);
    let response = at_once(service.call(Request::from_parts(parts.clone(), body))).unwrap();
    let charged = match (name, missing) {
        (Some(name), _) => Some(name),
        (None, 2) => Some("the others".to_owned()),
        (None, missing) => {
            let expected = if missing == 0 {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::OK
            };
            assert_eq!(response.status(), expected);
            assert_eq!(ledger.report().tenants, 0);
            return;
        }
    };
    let charged = charged.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let usage = ledger.usage(&charged);
    assert_eq!((usage.used, usage.reserved), (600, 0));
    assert_eq!(ledger.fullest(5).len(), 1);
    // And so is the next one.
    let body = ScriptedBody::new().telling_length(600);
    let response = at_once(service.call(Request::from_parts(parts, body))).unwrap();
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
});

/// A segment of a path without its percent-encoding.
fn segment(path: &str, place: usize) -> Option<Vec<u8>> {
    let segment = path.strip_prefix('/')?.split('/').nth(place)?.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < segment.len() {
        let digits = segment
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if segment[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(segment[at]);
                at += 1;
            }
        }
    }
    Some(decoded)
}
