use http::StatusCode;

use crate::capacity::{Reason, Refusal};

/// The status of a temporary refusal.
///
/// Clients disagree about what they try again: restic takes 507 as final, OTLP exporters drop what was answered with 507,
/// Nextcloud's desktop client backs off on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemporaryStatus {
    /// 507, RFC 4918 section 11.5.
    #[default]
    InsufficientStorage,
    /// 503, RFC 9110 section 15.6.4.
    ServiceUnavailable,
    /// 429, RFC 6585 section 4.
    TooManyRequests,
}

impl Refusal {
    /// Returns the default status: 413 for what could never fit, 507 for what does not fit now, 503 while the resource is
    /// unmeasured, 411 without a length, 403 without a tenant.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status_with(TemporaryStatus::default())
    }

    pub(super) fn status_with(&self, temporary: TemporaryStatus) -> StatusCode {
        match self.reason() {
            Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Space | Reason::Inodes | Reason::ReadOnly | Reason::Quota => match temporary {
                TemporaryStatus::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
                TemporaryStatus::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
                TemporaryStatus::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            },
            Reason::UnknownTenant => StatusCode::FORBIDDEN,
            Reason::Unmeasured => StatusCode::SERVICE_UNAVAILABLE,
            Reason::LengthRequired => StatusCode::LENGTH_REQUIRED,
        }
    }
}

/// The name of a status in RFC 9110.
pub(super) fn title(status: StatusCode) -> &'static str {
    match status {
        // The crate `http` has the name of RFC 7231.
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        status => status.canonical_reason().unwrap_or("Refused"),
    }
}
