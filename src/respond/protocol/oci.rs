//! The OCI distribution specification, section "Error codes".

use http::StatusCode;

use super::Document;
use crate::capacity::Reason;

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let code = match reason {
        Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota | Reason::LengthRequired => "SIZE_INVALID",
        Reason::Quota | Reason::UnknownTenant => "DENIED",
        _ => "TOOMANYREQUESTS",
    };
    let message = reason.as_str();
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":{{"reason":"{reason}"}}}}]}}"#);
    Document::new(status, "application/json", body)
}

/// Uploads of blobs and manifests.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/v2/") && (path.contains("/blobs/uploads") || path.contains("/manifests/"))
}
