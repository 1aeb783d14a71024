//! The OCI distribution specification, section "Error codes".

use bytes::Bytes;
use http::Response;

use super::document;
use crate::{
    capacity::{Reason, Refusal},
    respond::{RenderContext, Renderer},
};

pub(super) struct Oci;

impl Renderer for Oci {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let code = match refusal.reason() {
            Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota | Reason::LengthRequired => {
                "SIZE_INVALID"
            }
            Reason::Quota | Reason::UnknownTenant => "DENIED",
            _ => "TOOMANYREQUESTS",
        };
        let reason = refusal.reason();
        let body =
            format!(r#"{{"errors":[{{"code":"{code}","message":"{refusal}","detail":{{"reason":"{reason}"}}}}]}}"#);
        document(context.status(), "application/json", body)
    }
}

/// Uploads of blobs and manifests.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/v2/") && (path.contains("/blobs/uploads") || path.contains("/manifests/"))
}
