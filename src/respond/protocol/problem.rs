//! `application/problem+json`, RFC 9457.

use http::StatusCode;

use super::Document;
use crate::{capacity::Reason, respond::status::title};

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    // The words are ours and need no escaping; a test sees to it that they stay so.
    let (title, code, message) = (title(status), status.as_u16(), reason.as_str());
    let body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{code},"detail":"{message}","reason":"{reason}"}}"#
    );
    Document::new(status, "application/problem+json", body)
}
