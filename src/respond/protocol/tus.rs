//! tus 1.0 (tus.io/protocols/resumable-upload): a line of text. Every answer names the version, and the largest size
//! where there is one.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) fn insert_headers(headers: &mut HeaderMap, max_body: Option<u64>) {
    headers.insert(
        HeaderName::from_static("tus-resumable"),
        HeaderValue::from_static("1.0.0"),
    );
    if let Some(bytes) = max_body {
        headers.insert(HeaderName::from_static("tus-max-size"), bytes.into());
    }
}
