use std::{error::Error, fmt};

use crate::capacity::Reason;

/// Why a ledger does not give a tenant the bytes it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    kind: DeniedKind,
    limit: Option<u64>,
}

/// The kinds of denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeniedKind {
    /// The tenant's limit is used up, by what is stored, reserved, or leased by other nodes.
    Quota,
    /// It is more than the tenant's whole limit: waiting cannot help.
    ExceedsQuota,
    /// It is not known what the tenant has stored: the engine cannot be reached, or there are more tenants than the
    /// ledger has room for.
    Unknown,
    /// The engine would have to be asked, which takes a while. Only of what does not wait.
    WouldWait,
}

impl Denied {
    pub(super) const fn new(kind: DeniedKind) -> Self {
        Self { kind, limit: None }
    }

    pub(super) const fn with_limit(kind: DeniedKind, limit: u64) -> Self {
        Self {
            kind,
            limit: Some(limit),
        }
    }

    /// Of bytes that a bound does not allow.
    pub(super) const fn beyond(bytes: u64, bound: u64) -> Self {
        let kind = if bytes > bound {
            DeniedKind::ExceedsQuota
        } else {
            DeniedKind::Quota
        };
        Self::with_limit(kind, bound)
    }

    /// What kind of denial it is.
    #[must_use]
    pub const fn kind(self) -> DeniedKind {
        self.kind
    }

    /// Whether waiting cannot help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self.kind, DeniedKind::ExceedsQuota)
    }

    /// The tenant's limit in bytes, where it was that.
    #[must_use]
    pub const fn limit(self) -> Option<u64> {
        self.limit
    }

    /// The same, seen from all that a body needs in the end: what is larger than the whole limit never fits.
    pub(crate) fn of_total(self, bytes: u64) -> Self {
        match (self.kind, self.limit) {
            (DeniedKind::Quota, Some(limit)) if bytes > limit => Self::with_limit(DeniedKind::ExceedsQuota, limit),
            _ => self,
        }
    }

    pub(crate) const fn reason(self) -> Reason {
        match self.kind {
            DeniedKind::Quota => Reason::Quota,
            DeniedKind::ExceedsQuota => Reason::ExceedsQuota,
            DeniedKind::Unknown | DeniedKind::WouldWait => Reason::Unmeasured,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeniedKind::Quota => "the tenant's limit is used up",
            DeniedKind::ExceedsQuota => "it is more than the tenant's whole limit",
            DeniedKind::Unknown => "it is not known what the tenant has stored",
            DeniedKind::WouldWait => "the ledger's engine would have to be asked",
        })
    }
}

impl Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_equals_the_limit_may_fit_later_and_a_byte_more_never() {
        for (bytes, kind, reason) in [
            (99, DeniedKind::Quota, Reason::Quota),
            (100, DeniedKind::Quota, Reason::Quota),
            (101, DeniedKind::ExceedsQuota, Reason::ExceedsQuota),
        ] {
            let at_once = Denied::beyond(bytes, 100);
            let in_the_end = Denied::beyond(1, 100).of_total(bytes);
            for denied in [at_once, in_the_end] {
                assert_eq!(denied.kind(), kind, "{bytes}");
                assert_eq!(denied.is_permanent(), kind == DeniedKind::ExceedsQuota, "{bytes}");
                assert_eq!(denied.limit(), Some(100), "{bytes}");
                assert_eq!(denied.reason(), reason, "{bytes}");
            }
        }
    }

    #[test]
    fn an_unknown_account_stays_unknown_however_much_is_asked() {
        for kind in [DeniedKind::Unknown, DeniedKind::WouldWait] {
            let denied = Denied::new(kind).of_total(u64::MAX);
            assert_eq!(denied, Denied::new(kind));
            assert!(!denied.is_permanent());
            assert_eq!(denied.limit(), None);
            assert_eq!(denied.reason(), Reason::Unmeasured);
        }
    }

    #[test]
    fn each_kind_has_words_of_its_own() {
        let words = [
            DeniedKind::Quota,
            DeniedKind::ExceedsQuota,
            DeniedKind::Unknown,
            DeniedKind::WouldWait,
        ]
        .map(|kind| Denied::new(kind).to_string());
        assert!(words.iter().all(|text| text.contains(' ')));
        assert!((1..words.len()).all(|place| !words[..place].contains(&words[place])));
    }
}
