//! Connect (connectrpc.com/docs/protocol): unary errors are JSON with an HTTP status of their own, streaming errors the
//! last message of a stream that has status 200.

use http::StatusCode;

use super::{Dialect, Document, starts_with};
use crate::capacity::Reason;

pub(super) fn dialect(content_type: &[u8]) -> Dialect {
    if starts_with(content_type, "application/connect+json") {
        Dialect::ConnectStreamJson
    } else if starts_with(content_type, "application/connect+") {
        Dialect::ConnectStream
    } else {
        Dialect::ConnectUnary
    }
}

pub(super) fn unary(reason: Reason) -> Document {
    let (_, status) = code(reason);
    Document::new(status, "application/json", error(reason))
}

pub(super) fn stream(reason: Reason, content_type: &'static str) -> Document {
    const END_OF_STREAM: u8 = 0b10;
    let message = format!(r#"{{"error":{}}}"#, error(reason));
    let mut body = vec![END_OF_STREAM];
    // A few words, far below four gigabytes.
    body.extend((message.len() as u32).to_be_bytes());
    body.extend(message.as_bytes());
    Document::new(StatusCode::OK, content_type, body)
}

fn error(reason: Reason) -> String {
    let ((code, _), message) = (code(reason), reason.as_str());
    format!(r#"{{"code":"{code}","message":"{message}"}}"#)
}

/// The code and the status that the protocol ties to it.
fn code(reason: Reason) -> (&'static str, StatusCode) {
    match reason {
        Reason::Unmeasured => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Reason::UnknownTenant => ("permission_denied", StatusCode::FORBIDDEN),
        Reason::LengthRequired => ("failed_precondition", StatusCode::BAD_REQUEST),
        _ => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
    }
}
