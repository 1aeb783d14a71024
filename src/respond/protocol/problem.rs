//! `application/problem+json`, RFC 9457.

use bytes::Bytes;
use http::Response;

use super::document;
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer, status::title},
};

pub(super) struct Problem;

impl Renderer for Problem {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let status = context.status();
        // The words are ours and need no escaping; a test sees to it that they stay so.
        let body = format!(
            r#"{{"type":"about:blank","title":"{}","status":{},"detail":"{}","reason":"{}"}}"#,
            title(status),
            status.as_u16(),
            refusal,
            refusal.reason(),
        );
        document(status, "application/problem+json", body)
    }
}
