//! One line of plain text.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::render::{Document, title};
use crate::capacity::Refusal;

pub(super) fn document(refusal: &Refusal, status: StatusCode) -> Document {
    let (code, title) = (status.as_u16(), title(status));
    Document {
        content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
        body: Bytes::from(format!("{code} {title}: {refusal}\n")),
    }
}
