//! Connect (connectrpc.com/docs/protocol): unary errors are JSON with an HTTP status of their own, streaming errors the
//! last message of a stream that has status 200.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct Unary;

impl Renderer for Unary {
    fn render(&self, refusal: &Refusal, _: &RenderContext<'_>) -> Response<Bytes> {
        let (_, status) = code(refusal.reason());
        document(status, "application/json", error(refusal))
    }
}

/// With its content type.
pub(super) struct Stream(pub(super) &'static str);

impl Renderer for Stream {
    fn render(&self, refusal: &Refusal, _: &RenderContext<'_>) -> Response<Bytes> {
        const END_OF_STREAM: u8 = 0b10;
        let message = format!(r#"{{"error":{}}}"#, error(refusal));
        let mut body = vec![END_OF_STREAM];
        // A few words, far below four gigabytes.
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message.as_bytes());
        document(StatusCode::OK, self.0, body)
    }
}

fn error(refusal: &Refusal) -> String {
    let (code, _) = code(refusal.reason());
    format!(r#"{{"code":"{code}","message":"{refusal}"}}"#)
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
