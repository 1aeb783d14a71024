//! OTLP/HTTP (OpenTelemetry protocol, "Failures"): a `google.rpc.Status` in the encoding of the request. Exporters try
//! again after 429, 502, 503 and 504 only.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct Otlp;

impl Renderer for Otlp {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        // Field 1, `code`, a varint; field 2, `message`, of a length. Both fit one byte.
        let message = refusal.to_string();
        let mut body = vec![0x08, code(refusal.reason()), 0x12, message.len() as u8];
        body.extend(message.as_bytes());
        document(retryable(context.status()), "application/x-protobuf", body)
    }
}

pub(super) struct OtlpJson;

impl Renderer for OtlpJson {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let body = format!(r#"{{"code":{},"message":"{refusal}"}}"#, code(refusal.reason()));
        document(retryable(context.status()), "application/json", body)
    }
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
