//! One line of plain text.

use http::StatusCode;

use super::Document;
use crate::{capacity::Reason, respond::status::title};

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let body = format!("{} {}: {}\n", status.as_u16(), title(status), reason.as_str());
    Document::new(status, "text/plain; charset=utf-8", body)
}
