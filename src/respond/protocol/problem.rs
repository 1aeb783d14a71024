//! `application/problem+json`, RFC 9457.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer, status::title},
};

pub(super) struct Problem;

impl Renderer for Problem {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        write(refusal, context.status(), HeaderMap::new())
    }
}

/// The answer with its own headers only, in a map that has room for them already.
pub(in crate::respond) fn write(refusal: &Refusal, status: StatusCode, mut headers: HeaderMap) -> Response<Bytes> {
    const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
    let body = document(refusal.reason(), status);
    headers.clear();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Each is written once and kept: there are few, and to format one takes longer than all the rest of a refusal.
fn document(reason: Reason, status: StatusCode) -> &'static str {
    static WRITTEN: [[OnceLock<&str>; 4]; Reason::ALL.len()] =
        [const { [const { OnceLock::new() }; 4] }; Reason::ALL.len()];
    let place = Reason::ALL.iter().position(|other| *other == reason);
    // A reason has one of these, or always the same one.
    let kind = match status {
        StatusCode::INSUFFICIENT_STORAGE => 0,
        StatusCode::SERVICE_UNAVAILABLE => 1,
        StatusCode::TOO_MANY_REQUESTS => 2,
        _ => 3,
    };
    let written = place.and_then(|place| WRITTEN.get(place)?.get(kind));
    let write = || -> &'static str {
        // The words are ours and need no escaping; a test sees to it that they stay so.
        let text = format!(
            r#"{{"type":"about:blank","title":"{}","status":{},"detail":"{}","reason":"{reason}"}}"#,
            title(status),
            status.as_u16(),
            reason.as_str(),
        );
        Box::leak(text.into_boxed_str())
    };
    written.map_or("", |written| written.get_or_init(write))
}
