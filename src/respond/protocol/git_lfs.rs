//! Git LFS (docs/api/batch.md, "Response Errors"), which knows 413 and 507.

use http::{HeaderValue, StatusCode};

use super::Document;
use crate::capacity::Reason;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let message = reason.as_str();
    Document::new(status, MEDIA_TYPE, format!(r#"{{"message":"{message}"}}"#))
}

/// Of what is sent, or of what is accepted.
pub(super) fn is_type(value: &HeaderValue) -> bool {
    value.as_bytes().starts_with(MEDIA_TYPE.as_bytes())
}
