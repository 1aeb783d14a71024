//! `application/problem+json`, RFC 9457.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::render::{Document, title};
use crate::capacity::Refusal;

/// The words are ours and need no escaping; a test sees to it that they stay so.
pub(super) fn document(refusal: &Refusal, status: StatusCode) -> Document {
    let body = format!(
        r#"{{"type":"about:blank","title":"{}","status":{},"detail":"{}","reason":"{}"}}"#,
        title(status),
        status.as_u16(),
        refusal,
        refusal.reason(),
    );
    Document {
        content_type: HeaderValue::from_static("application/problem+json"),
        body: Bytes::from(body),
    }
}
