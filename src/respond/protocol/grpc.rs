//! gRPC (PROTOCOL-HTTP2.md) and gRPC-Web (PROTOCOL-WEB.md): HTTP status 200 and all the rest in headers, "trailers-only"
//! in the words of the specification. Any other HTTP status would reach the caller as `UNKNOWN` or `INTERNAL`.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::ACCESS_CONTROL_EXPOSE_HEADERS};

use super::Document;
use crate::capacity::Reason;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

pub(super) fn document(content_type: &'static str) -> Document {
    Document::new(StatusCode::OK, content_type, [])
}

pub(super) fn insert_status(headers: &mut HeaderMap, reason: Reason, retry_after: Option<u32>) {
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code(reason)));
    // Needs no percent-encoding; a test sees to it that the words stay so.
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason.as_str()));
    // How long to wait before the next attempt; negative means never (gRFC A6).
    let pushback = match retry_after {
        Some(seconds) => HeaderValue::from(u64::from(seconds) * 1000),
        None => HeaderValue::from_static("-1"),
    };
    headers.insert(PUSHBACK, pushback);
}

/// A browser hides headers from a page of another origin unless they are named.
pub(super) fn expose_status(headers: &mut HeaderMap) {
    let named = HeaderValue::from_static("grpc-status, grpc-message, grpc-retry-pushback-ms");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, named);
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
