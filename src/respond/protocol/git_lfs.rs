//! Git LFS (docs/api/batch.md, "Response Errors"), which knows 413 and 507.

use bytes::Bytes;
use http::{
    HeaderMap, Response,
    header::{ACCEPT, CONTENT_TYPE},
};

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

pub(super) fn is_spoken(headers: &HeaderMap) -> bool {
    [ACCEPT, CONTENT_TYPE]
        .iter()
        .filter_map(|name| headers.get(name))
        .any(|value| value.as_bytes().starts_with(MEDIA_TYPE.as_bytes()))
}
