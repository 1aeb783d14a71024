//! `DAV:error` with a condition, RFC 4918 section 16 and RFC 4331 section 6.

use bytes::Bytes;
use http::{Method, Response};

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct WebDav;

impl Renderer for WebDav {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let condition = match refusal.reason() {
            Reason::Quota => "<D:quota-not-exceeded/>",
            Reason::Space | Reason::Inodes | Reason::ReadOnly => "<D:sufficient-disk-space/>",
            // No condition is defined for what could never fit, or is not known.
            _ => "",
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\">{condition}\
             <D:responsedescription>{refusal}</D:responsedescription></D:error>\n"
        );
        document(context.status(), "application/xml; charset=utf-8", body)
    }
}

/// Methods that only WebDAV has and that may be refused. A `PUT` does not show where it comes from.
pub(super) fn is_method(method: &Method) -> bool {
    matches!(method.as_str(), "MKCOL" | "COPY" | "PROPPATCH" | "MKCALENDAR")
}
