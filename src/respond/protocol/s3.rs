//! S3's XML (Amazon S3 API reference, "Error responses").

use bytes::Bytes;
use http::{Response, StatusCode};

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct S3;

impl Renderer for S3 {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let (code, status) = match (refusal.reason(), context.status()) {
            // S3 spells 413 as 400.
            (Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota, _) => {
                ("EntityTooLarge", StatusCode::BAD_REQUEST)
            }
            (Reason::LengthRequired, status) => ("MissingContentLength", status),
            (Reason::UnknownTenant, status) => ("AccessDenied", status),
            (Reason::Quota, status) => ("QuotaExceeded", status),
            (_, status @ StatusCode::TOO_MANY_REQUESTS) => ("SlowDown", status),
            (_, status @ StatusCode::SERVICE_UNAVAILABLE) => ("ServiceUnavailable", status),
            (_, status) => ("InsufficientStorage", status),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{refusal}</Message></Error>"
        );
        document(status, "application/xml", body)
    }
}
