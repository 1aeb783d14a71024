//! One line of plain text.

use bytes::Bytes;
use http::Response;

use super::document;
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer, status::title},
};

pub(super) struct Text;

impl Renderer for Text {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let status = context.status();
        let body = format!("{} {}: {refusal}\n", status.as_u16(), title(status));
        document(status, "text/plain; charset=utf-8", body)
    }
}
