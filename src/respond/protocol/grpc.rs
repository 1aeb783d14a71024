//! gRPC: HTTP status 200 and all the rest in headers, "trailers-only" in the words of its specification
//! (PROTOCOL-HTTP2.md). Any other HTTP status would reach the caller as `UNKNOWN` or `INTERNAL`.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct Grpc;

impl Renderer for Grpc {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let mut response = document(StatusCode::OK, "application/grpc", Bytes::new());
        insert_status(&mut response, refusal, context);
        response
    }
}

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

pub(super) fn insert_status(response: &mut Response<Bytes>, refusal: &Refusal, context: &RenderContext<'_>) {
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code(refusal.reason())));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&refusal.to_string())) {
        headers.insert(GRPC_MESSAGE, message);
    }
    // How long to wait before the next attempt; negative means never (gRFC A6).
    let pushback = match context.retry_after() {
        Some(seconds) => HeaderValue::from(u64::from(seconds) * 1000),
        None => HeaderValue::from_static("-1"),
    };
    headers.insert(PUSHBACK, pushback);
}

/// `RESOURCE_EXHAUSTED`, `UNAVAILABLE` where nobody knows, `FAILED_PRECONDITION` without a length,
/// `PERMISSION_DENIED` without a tenant.
fn code(reason: Reason) -> &'static str {
    match reason {
        Reason::Unmeasured => "14",
        Reason::LengthRequired => "9",
        Reason::UnknownTenant => "7",
        _ => "8",
    }
}

/// All but printable ASCII, and the percent sign itself.
fn percent_encoded(message: &str) -> String {
    message
        .bytes()
        .fold(String::with_capacity(message.len()), |mut encoded, byte| {
            match byte {
                b' '..=b'$' | b'&'..=b'~' => encoded.push(byte.into()),
                // Writing to a string cannot fail.
                _ => drop(write!(encoded, "%{byte:02X}")),
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_is_not_printable_ascii() {
        assert_eq!(percent_encoded("50 % of é\n"), "50 %25 of %C3%A9%0A");
        assert_eq!(percent_encoded("plain ~!#$&"), "plain ~!#$&");
    }
}
