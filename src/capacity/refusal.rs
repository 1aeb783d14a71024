use std::{error::Error, fmt, sync::Arc};

/// The reason and the figures of a refused request, independent of any protocol.
///
/// Every refusing response carries it in its extensions, whatever renders the body. The figures are for the operator; the
/// built-in answers show none of them to the client.
///
/// ```
/// use tower_storage_guard::{Reason, Refusal};
///
/// let refusal = Refusal::new(Reason::Space);
/// assert!(!refusal.is_permanent());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    parts: RefusalParts,
}

/// What a refusal knows. Its names are shared: a refusal is kept in the reservation, in the body's error and in the
/// response, and cloning it allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusalParts {
    pub(crate) reason: Reason,
    pub(crate) resource: Option<Arc<str>>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) requested: Option<u64>,
    pub(crate) limit: Option<u64>,
    pub(crate) mid_stream: bool,
}

impl Refusal {
    /// Creates a refusal without figures, for the tests of a renderer or a handler's own answers.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self::from_parts(RefusalParts {
            reason,
            resource: None,
            tenant: None,
            requested: None,
            limit: None,
            mid_stream: false,
        })
    }

    pub(crate) const fn from_parts(parts: RefusalParts) -> Self {
        Self { parts }
    }

    pub(crate) fn into_mid_stream(mut self) -> Self {
        self.parts.mid_stream = true;
        self
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.parts.reason
    }

    /// Returns whether the same request could never be admitted, however long the client waits.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.parts.reason.is_permanent()
    }

    /// The tenant whose limit was reached, if it was a tenant's. Not meant for clients.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.parts.tenant.as_deref()
    }

    /// The name of the resource or ledger that refused, if one did. Not meant for clients.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.parts.resource.as_deref()
    }

    /// The bytes that were asked for, as far as that was known.
    #[must_use]
    pub const fn requested(&self) -> Option<u64> {
        self.parts.requested
    }

    /// The bytes that could have been admitted: the configured maximum, the resource's ceiling or its room at that
    /// moment, or the tenant's limit. Not meant for clients.
    #[must_use]
    pub const fn limit(&self) -> Option<u64> {
        self.parts.limit
    }

    /// Returns whether the request was admitted first, and refused while its body arrived or by the storage itself.
    #[must_use]
    pub const fn is_mid_stream(&self) -> bool {
        self.parts.mid_stream
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts.reason.as_str())
    }
}

impl Error for Refusal {}

/// A reason to refuse a request. [`Refusal::status`] has the status for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Larger than the configured maximum. Permanent.
    TooLarge,
    /// Larger than a resource could hold if it were empty. Permanent.
    ExceedsCapacity,
    /// A resource has not enough room now.
    Space,
    /// A file system has no inode left.
    Inodes,
    /// A resource cannot be written to.
    ReadOnly,
    /// A quota of the user, group or project is used up.
    Quota,
    /// Larger than a tenant's whole quota. Permanent.
    ExceedsQuota,
    /// The request names no tenant.
    UnknownTenant,
    /// The room is not known: the probe fails or its last reading is too old.
    Unmeasured,
    /// The layer requires a length, and the request has none.
    LengthRequired,
}

impl Reason {
    /// All reasons, in a fixed order.
    pub const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::ExceedsCapacity,
        Self::Space,
        Self::Inodes,
        Self::ReadOnly,
        Self::Quota,
        Self::ExceedsQuota,
        Self::UnknownTenant,
        Self::Unmeasured,
        Self::LengthRequired,
    ];

    /// Returns whether waiting cannot help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::TooLarge | Self::ExceedsCapacity | Self::ExceedsQuota)
    }

    /// A short sentence without figures, fit for a client.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "the content is larger than this server accepts",
            Self::ExceedsCapacity => "the content is larger than this server can store",
            Self::Space => "there is not enough room to store the content now",
            Self::Inodes => "there is no room for another file now",
            Self::ReadOnly => "the storage cannot be written to now",
            Self::Quota => "the storage quota is used up",
            Self::ExceedsQuota => "the content is larger than the storage quota",
            Self::UnknownTenant => "it is not known on whose account the content would be stored",
            Self::Unmeasured => "it is not known now whether the content would fit",
            Self::LengthRequired => "the length of the content must be told beforehand",
        }
    }

    /// The stable name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::ExceedsCapacity => "exceeds_capacity",
            Self::Space => "space",
            Self::Inodes => "inodes",
            Self::ReadOnly => "read_only",
            Self::Quota => "quota",
            Self::ExceedsQuota => "exceeds_quota",
            Self::UnknownTenant => "unknown_tenant",
            Self::Unmeasured => "unmeasured",
            Self::LengthRequired => "length_required",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dashboards and alerts rely on them.
    #[test]
    fn names_are_stable() {
        let names = Reason::ALL.map(Reason::name);
        let expected = [
            "too_large",
            "exceeds_capacity",
            "space",
            "inodes",
            "read_only",
            "quota",
            "exceeds_quota",
            "unknown_tenant",
            "unmeasured",
            "length_required",
        ];
        assert_eq!(names, expected);
        assert_eq!(Reason::ALL.map(|reason| reason.to_string()), expected);
    }

    #[test]
    fn what_is_larger_than_all_there_is_never_fits() {
        let permanent = Reason::ALL.into_iter().filter(|reason| reason.is_permanent());
        let expected = [Reason::TooLarge, Reason::ExceedsCapacity, Reason::ExceedsQuota];
        assert!(permanent.eq(expected));
        for reason in Reason::ALL {
            assert_eq!(Refusal::new(reason).is_permanent(), reason.is_permanent());
        }
    }

    #[test]
    fn a_refusal_tells_what_it_knows() {
        let bare = Refusal::new(Reason::Quota);
        assert_eq!(
            (bare.resource(), bare.tenant(), bare.requested(), bare.limit()),
            (None, None, None, None)
        );
        assert!(!bare.is_mid_stream() && bare.into_mid_stream().is_mid_stream());
        let known = Refusal::from_parts(RefusalParts {
            reason: Reason::Quota,
            resource: Some("users".into()),
            tenant: Some("alice".into()),
            requested: Some(7),
            limit: Some(5),
            mid_stream: true,
        });
        assert_eq!((known.reason(), known.is_mid_stream()), (Reason::Quota, true));
        assert_eq!((known.resource(), known.tenant()), (Some("users"), Some("alice")));
        assert_eq!((known.requested(), known.limit()), (Some(7), Some(5)));
        assert_eq!(known.to_string(), "the storage quota is used up");
        let names = |refusal: &Refusal| [refusal.resource(), refusal.tenant()].map(|name| name.map(str::as_ptr));
        assert_eq!(names(&known.clone()), names(&known), "clones share the names");
    }
}
