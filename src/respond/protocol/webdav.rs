//! `DAV:error` with a condition, RFC 4918 section 16 and RFC 4331 section 6.

use http::{Method, StatusCode};

use super::Document;
use crate::capacity::Reason;

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let condition = match reason {
        Reason::Quota => "<D:quota-not-exceeded/>",
        Reason::Space | Reason::Inodes | Reason::ReadOnly => "<D:sufficient-disk-space/>",
        // No condition is defined for what could never fit, or is not known.
        _ => "",
    };
    let message = reason.as_str();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\">{condition}\
         <D:responsedescription>{message}</D:responsedescription></D:error>\n"
    );
    Document::new(status, "application/xml; charset=utf-8", body)
}

/// Methods that only WebDAV has and that may be refused. A `PUT` does not show where it comes from.
pub(super) fn is_method(method: &Method) -> bool {
    matches!(method.as_str(), "MKCOL" | "COPY" | "PROPPATCH" | "MKCALENDAR")
}
