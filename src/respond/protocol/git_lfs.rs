//! Git LFS (docs/api/batch.md, "Response Errors"), which knows 413 and 507.

use bytes::Bytes;
use http::{HeaderValue, Response};

use super::document;
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer},
};

pub(super) struct GitLfs;

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

impl Renderer for GitLfs {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        document(context.status(), MEDIA_TYPE, format!(r#"{{"message":"{refusal}"}}"#))
    }
}

/// Of what is sent, or of what is accepted.
pub(super) fn is_type(value: &HeaderValue) -> bool {
    value.as_bytes().starts_with(MEDIA_TYPE.as_bytes())
}
