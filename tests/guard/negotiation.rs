//! In which words a refusal is told, for any headers together, against models that are simpler than the code.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mime::Mime;
use proptest::{prelude::*, sample::subsequence};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::*;

/// The answer to a request that does not fit.
fn refused(method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let service = guarding(disk(10).resource())
        .build()
        .unwrap()
        .layer(service_fn(reads_all));
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(vec![0; 100])).unwrap();
    let response = service.oneshot(request).now_or_never().expect("at once").unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().now_or_never().expect("at once").unwrap();
    Response::from_parts(parts, body.to_bytes())
}

fn content_type(response: &Response<Bytes>) -> &str {
    let value = response.headers().get("content-type");
    value.map_or("", |value| value.to_str().unwrap())
}

/// What we have, in the order in which equals are preferred, with the ranges that match it, the most specific first.
const OURS: [(&str, [&str; 4]); 3] = [
    (
        "application/problem+json",
        ["application/problem+json", "application/json", "application/*", "*/*"],
    ),
    ("text/plain", ["text/plain", "text/*", "*/*", "*/*"]),
    ("text/html", ["text/html", "text/*", "*/*", "*/*"]),
];

/// RFC 9110 section 12.5.1, with the help of a parser of media types that is not ours.
fn preferred(accept: &str) -> &'static str {
    let ranges: Vec<Mime> = accept
        .split(',')
        .filter_map(|range| range.trim().parse().ok())
        .collect();
    let quality = |matching: &[&str]| {
        let mut found = matching
            .iter()
            .filter_map(|name| ranges.iter().find(|range| range.essence_str() == *name));
        found.next().map_or(0.0, |range| {
            let quality = range
                .get_param("q")
                .map(|q| q.as_str().parse::<f64>().expect("a number"));
            quality.unwrap_or(1.0)
        })
    };
    let mut best = (0.0, OURS[0].0);
    for (name, matching) in OURS {
        if quality(&matching) > best.0 {
            best = (quality(&matching), name);
        }
    }
    best.1
}

fn accepts() -> impl Strategy<Value = String> {
    let ranges = vec![
        "application/problem+json",
        "application/json",
        "application/*",
        "text/html",
        "text/plain",
        "text/*",
        "*/*",
        "image/png",
        "application/xhtml+xml",
    ];
    let qualities = prop::collection::vec("(;level=1)?(; ?q=(0|1|0\\.[0-9]{1,3}|1\\.0{1,3}))?", 9);
    (subsequence(ranges, 1..6).prop_shuffle(), qualities, " ?").prop_map(|(ranges, qualities, space)| {
        let ranges = ranges
            .iter()
            .zip(&qualities)
            .map(|(range, quality)| format!("{range}{quality}"));
        ranges.collect::<Vec<_>>().join(&format!(",{space}"))
    })
}

/// A sign of a protocol, those that count more first. Of two content types or paths a request has the first.
const SIGNS: [(&str, &str, &str); 14] = [
    ("header", "content-type", "application/grpc-web+proto"),
    ("header", "content-type", "application/grpc"),
    ("header", "content-type", "application/connect+proto"),
    ("header", "content-type", "application/connect+json"),
    ("header", "connect-protocol-version", "1"),
    ("header", "tus-resumable", "1.0.0"),
    ("header", "upload-draft-interop-version", "6"),
    ("header", "content-type", "application/vnd.git-lfs+json"),
    ("header", "x-amz-date", "20130524T000000Z"),
    ("header", "authorization", "AWS4-HMAC-SHA256 Credential=x"),
    ("path", "/v2/a/blobs/uploads/1", ""),
    ("method", "MKCOL", ""),
    ("header", "accept", "text/html"),
    ("header", "accept", "text/plain"),
];

/// Status, content type and the beginning of the answer to a request with these signs.
fn answer(signs: &[(&str, &str, &str)]) -> (u16, String, Bytes) {
    let first = |kind: &str, default| {
        let mut found = signs.iter().filter(|sign| sign.0 == kind);
        found.next().map_or(default, |sign| sign.1)
    };
    let mut headers: Vec<(&str, &str)> = Vec::new();
    for (_, name, value) in signs.iter().filter(|sign| sign.0 == "header") {
        if headers.iter().all(|(there, _)| there != name) {
            headers.push((name, value));
        }
    }
    let response = refused(first("method", "PUT"), first("path", "/"), &headers);
    let content_type = content_type(&response).to_owned();
    let body = response.body();
    (
        response.status().as_u16(),
        content_type,
        body.slice(..body.len().min(12)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_format_is_the_one_that_is_preferred(accept in accepts()) {
        let response = refused("PUT", "/", &[("accept", &accept)]);
        prop_assert!(content_type(&response).starts_with(preferred(&accept)), "`{accept}`: {response:?}");
    }

    /// Several headers are one list.
    #[test]
    fn a_list_may_be_cut_anywhere(accept in accepts()) {
        let whole = refused("PUT", "/", &[("accept", &accept)]);
        let parts: Vec<_> = accept.split(',').map(|range| ("accept", range)).collect();
        let cut = refused("PUT", "/", &parts);
        prop_assert_eq!(content_type(&cut), content_type(&whole));
    }

    /// Whatever else shows of other protocols, and in whatever order the headers come.
    #[test]
    fn the_strongest_sign_tells_the_protocol(
        signs in subsequence(SIGNS.to_vec(), 1..SIGNS.len()),
        order in Just((0..SIGNS.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let strongest = answer(&signs[..1]);
        let mut kept: Vec<(&str, &str, &str)> = Vec::new();
        for sign in &signs {
            if kept.iter().all(|there| (there.0, there.1) != (sign.0, sign.1)) {
                kept.push(*sign);
            }
        }
        let shuffled: Vec<_> = order.into_iter().filter_map(|at| kept.get(at).copied()).collect();
        prop_assert_eq!(answer(&shuffled), strongest, "{:?}", shuffled);
    }
}

/// Otherwise the test above could not tell them apart.
#[test]
fn protocols_look_different() {
    let mut answers: Vec<_> = SIGNS.iter().map(|sign| answer(&[*sign])).collect();
    answers.sort();
    answers.dedup();
    assert!(answers.len() >= 10, "{answers:#?}");
}
