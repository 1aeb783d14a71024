//! tus 1.0 (tus.io/protocols/resumable-upload): every answer names the version, and 413 the largest size.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};

use super::text::Text;
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer},
};

pub(super) struct Tus;

impl Renderer for Tus {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let mut response = Text.render(refusal, context);
        let headers = response.headers_mut();
        headers.insert(
            HeaderName::from_static("tus-resumable"),
            HeaderValue::from_static("1.0.0"),
        );
        if let Some(bytes) = context.max_body() {
            headers.insert(HeaderName::from_static("tus-max-size"), bytes.into());
        }
        response
    }
}
