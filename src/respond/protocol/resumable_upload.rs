//! Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): problem details, and the largest size in
//! `Upload-Limit`, a structured field (RFC 9651).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Integers of structured fields have at most fifteen digits.
const LARGEST: u64 = 999_999_999_999_999;

pub(super) fn insert_limit(headers: &mut HeaderMap, max_body: Option<u64>) {
    let limit = max_body.map(|bytes| format!("max-size={}", bytes.min(LARGEST)));
    if let Some(limit) = limit.and_then(|limit| HeaderValue::try_from(limit).ok()) {
        headers.insert(HeaderName::from_static("upload-limit"), limit);
    }
}
