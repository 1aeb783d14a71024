use std::{fmt, sync::Arc};

use super::{LiveLimits, counters::Counters};
use crate::{
    capacity::{Event, Observer, Reason, Refusal, RefusalParts, notify},
    resource::Resource,
    tenant::{Denied, Ledger},
};

/// The rules that a layer decides by, beside its figures, and the observers of its decisions.
pub(super) struct Rules {
    /// In the order of the scopes.
    pub(super) resources: Box<[Resource]>,
    pub(super) ledgers: Box<[Ledger]>,
    pub(super) limits: Arc<LiveLimits>,
    pub(super) counters: Counters,
    pub(super) observers: Box<[Arc<dyn Observer>]>,
}

impl Rules {
    /// Counts a refusal and emits its event. Returns whether it is enforced.
    pub(super) fn record_refusal(&self, refusal: &Refusal) -> bool {
        let enforced = !self.limits.report_only();
        self.counters.count(refusal, enforced);
        notify(&self.observers, &Event::Refused { refusal, enforced });
        enforced
    }

    /// The refusal of `requested` bytes by the resource at this place, or by none of them.
    #[cold]
    pub(super) fn refusal(&self, reason: Reason, place: Option<usize>, requested: Option<u64>) -> Refusal {
        let resource = place.and_then(|place| self.resources.get(place));
        let limit = match reason {
            Reason::TooLarge => Some(self.limits.maximum()),
            Reason::ExceedsCapacity => resource.map(|resource| resource.account().ceiling()),
            Reason::Space => resource.map(|resource| resource.account().bytes.headroom().max(0).unsigned_abs()),
            _ => None,
        };
        Refusal::from_parts(RefusalParts {
            reason,
            resource: resource.map(|resource| resource.shared_name().clone()),
            tenant: None,
            requested,
            limit,
            mid_stream: false,
        })
    }

    /// The refusal of `requested` bytes in all by the ledger at this place.
    #[cold]
    pub(super) fn tenant_refusal(&self, denied: Denied, at: usize, tenant: &str, requested: u64) -> Refusal {
        let denied = denied.of_total(requested);
        Refusal::from_parts(RefusalParts {
            reason: denied.reason(),
            resource: self.ledgers.get(at).map(|ledger| ledger.core().name().clone()),
            tenant: Some(tenant.into()),
            requested: Some(requested),
            limit: denied.limit(),
            mid_stream: false,
        })
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("resources", &self.resources)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
