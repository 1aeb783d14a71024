//! S3's XML (Amazon S3 API reference, "Error responses").

use http::StatusCode;

use super::Document;
use crate::capacity::Reason;

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let (code, status) = match (reason, status) {
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
    let message = reason.as_str();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Document::new(status, "application/xml", body)
}
