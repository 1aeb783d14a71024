//! Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): problem details, and the largest size in
//! `Upload-Limit`, a structured field (RFC 9651).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};

use super::problem::Problem;
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer},
};

pub(super) struct ResumableUpload;

/// Integers of structured fields have at most fifteen digits.
const LARGEST: u64 = 999_999_999_999_999;

impl Renderer for ResumableUpload {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let mut response = Problem.render(refusal, context);
        let limit = context
            .max_body()
            .map(|bytes| format!("max-size={}", bytes.min(LARGEST)));
        if let Some(limit) = limit.and_then(|limit| HeaderValue::try_from(limit).ok()) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("upload-limit"), limit);
        }
        response
    }
}
