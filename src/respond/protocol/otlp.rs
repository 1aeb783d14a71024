//! OTLP/HTTP (OpenTelemetry protocol, "Failures"): a `google.rpc.Status` in the encoding of the request. Exporters try
//! again after 429, 502, 503 and 504 only.

use http::StatusCode;

use super::Document;
use crate::capacity::Reason;

pub(super) fn protobuf(reason: Reason, status: StatusCode) -> Document {
    // Field 1, `code`, a varint; field 2, `message`, of a length. Both fit one byte.
    let message = reason.as_str();
    let mut body = vec![0x08, code(reason), 0x12, message.len() as u8];
    body.extend(message.as_bytes());
    Document::new(retryable(status), "application/x-protobuf", body)
}

pub(super) fn json(reason: Reason, status: StatusCode) -> Document {
    let (code, message) = (code(reason), reason.as_str());
    let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
    Document::new(retryable(status), "application/json", body)
}

pub(super) fn is_path(path: &str) -> bool {
    ["/v1/traces", "/v1/metrics", "/v1/logs", "/v1development/profiles"]
        .iter()
        .any(|signal| path.ends_with(signal))
}

/// 507 would have the data dropped.
fn retryable(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::INSUFFICIENT_STORAGE => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    }
}

/// `google.rpc.Code`.
fn code(reason: Reason) -> u8 {
    match reason {
        Reason::Unmeasured => 14,
        Reason::LengthRequired => 9,
        Reason::UnknownTenant => 7,
        _ => 8,
    }
}
