//! What a request holds of its tenants' limits.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
};

use super::admit::Rules;
use crate::{
    capacity::{Refusal, RefusalParts},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    tenant::{Attempt, Denied, EntryRef, Ledger, Waiter},
};

/// How many ledgers one layer can charge, such as an organisation's and a user's.
pub(crate) const MAX_TENANTS: usize = 4;

/// On whose accounts a request is, one name for each of the layer's ledgers; none where nobody is charged.
pub(crate) type TenantNames<'a> = [Option<Cow<'a, str>>; MAX_TENANTS];

/// What is reserved of each ledger. Whoever has it settles it or rolls it back.
#[derive(Debug, Default)]
pub(super) struct TenantHolds {
    places: [Option<EntryRef>; MAX_TENANTS],
    /// The request would have been refused, and that was told: the tenants are charged, and no more is told.
    pub(super) is_reported: bool,
}

/// How reserving of all ledgers goes on.
pub(super) enum Step {
    Done,
    Refused(Refusal),
    /// The ledger at this place must ask its store.
    Waits(usize, EntryRef, Arc<Waiter>),
}

impl TenantHolds {
    /// Reserves of the ledgers from `first` on, all or none.
    pub(super) fn reserve(&mut self, rules: &Rules, names: &TenantNames<'_>, first: usize, bytes: u64) -> Step {
        let report_only = rules.limits.load().report_only;
        for (at, (ledger, name)) in rules.tenants.iter().zip(names).enumerate().skip(first) {
            let Some(name) = name.as_deref() else { continue };
            let core = ledger.core();
            match core.attempt(name, bytes, !report_only) {
                Attempt::Granted(place) => self.put(at, place),
                Attempt::Waits(place, waiter) => return Step::Waits(at, place, waiter),
                Attempt::Denied(denied) => {
                    let refusal = rules.tenant_refusal(denied, at, name, Some(bytes));
                    if report_only {
                        if !self.is_reported && denied.kind() != crate::tenant::DeniedKind::WouldWait {
                            self.is_reported = true;
                            rules.tell(&permanent_first(rules, names, at, bytes, refusal), false);
                        }
                        // Counted all the same, so that what is told of the usage is true.
                        if let Some(place) = core.charge_unchecked(name, bytes) {
                            self.put(at, place);
                        }
                        continue;
                    }
                    self.roll_back(rules, bytes);
                    return Step::Refused(permanent_first(rules, names, at, bytes, refusal));
                }
            }
        }
        Step::Done
    }

    /// Takes the accounts in hand without reserving anything, so that what is freed can be credited.
    pub(super) fn enter(&mut self, rules: &Rules, names: &TenantNames<'_>) {
        for (at, (ledger, name)) in rules.tenants.iter().zip(names).enumerate() {
            if let Some(place) = name.as_deref().and_then(|name| ledger.core().acquire(name)) {
                self.put(at, place);
            }
        }
    }

    /// Charges all ledgers whatever they allow.
    pub(super) fn force(&mut self, rules: &Rules, names: &TenantNames<'_>, bytes: u64) {
        for (at, (ledger, name)) in rules.tenants.iter().zip(names).enumerate() {
            if let Some(place) = name
                .as_deref()
                .and_then(|name| ledger.core().charge_unchecked(name, bytes))
            {
                self.put(at, place);
            }
        }
    }

    pub(super) fn put(&mut self, at: usize, place: EntryRef) {
        if let Some(slot) = self.places.get_mut(at) {
            *slot = Some(place);
        }
    }

    pub(super) fn roll_back(&mut self, rules: &Rules, bytes: u64) {
        for (ledger, place) in rules.tenants.iter().zip(&mut self.places).rev() {
            if let Some(place) = place.take() {
                ledger.core().settle(place, bytes, 0);
            }
        }
    }
}

/// A later ledger may refuse for good what an earlier one refuses for now.
#[cold]
fn permanent_first(rules: &Rules, names: &TenantNames<'_>, at: usize, bytes: u64, refusal: Refusal) -> Refusal {
    if refusal.is_permanent() {
        return refusal;
    }
    let mut later = rules.tenants.iter().zip(names).enumerate().skip(at + 1);
    let never = later.find_map(|(at, (ledger, name))| {
        let name = name.as_deref()?;
        let denied = ledger.core().exceeds(name, bytes)?;
        Some(rules.tenant_refusal(denied, at, name, Some(bytes)))
    });
    never.unwrap_or(refusal)
}

/// A request that waits for a ledger's store. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) rules: Arc<Rules>,
    pub(super) names: TenantNames<'static>,
    pub(super) bytes: u64,
    pub(super) holds: TenantHolds,
    pub(super) waits: Option<(usize, EntryRef, Arc<Waiter>)>,
}

impl Waiting {
    /// What is held in the end, or why nothing is.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<TenantHolds, Refusal>> {
        while let Some((_, _, waiter)) = &self.waits {
            let outcome = ready!(waiter.poll(context));
            let Some((at, place, _)) = self.waits.take() else { break };
            if let Err(denied) = outcome {
                drop(place);
                self.holds.roll_back(&self.rules, self.bytes);
                let name = self.names.get(at).and_then(|name| name.as_deref()).unwrap_or_default();
                let refusal = self.rules.tenant_refusal(denied, at, name, Some(self.bytes));
                return Poll::Ready(Err(permanent_first(&self.rules, &self.names, at, self.bytes, refusal)));
            }
            self.holds.put(at, place);
            match self.holds.reserve(&self.rules, &self.names, at + 1, self.bytes) {
                Step::Done => break,
                Step::Refused(refusal) => return Poll::Ready(Err(refusal)),
                Step::Waits(at, place, waiter) => self.waits = Some((at, place, waiter)),
            }
        }
        Poll::Ready(Ok(std::mem::take(&mut self.holds)))
    }

    #[expect(clippy::indexing_slicing, reason = "places of ledgers come from counting them")]
    fn core_at(&self, at: usize) -> &crate::tenant::LedgerInner {
        self.rules.tenants[at].core()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((at, place, waiter)) = self.waits.take() {
            if waiter.abandon() {
                self.core_at(at).give_back(&place, self.bytes);
            }
        }
        self.holds.roll_back(&self.rules, self.bytes);
    }
}

/// A tenant's part of the slot where the two halves of a hold meet.
#[derive(Debug, Default)]
pub(super) struct TenantSlot {
    /// `None` when nobody is charged.
    entry: Mutex<Option<EntryRef>>,
    /// Written by the body's half while it lives.
    pub(super) reserved: AtomicU64,
}

impl TenantSlot {
    pub(super) fn place(&self) -> Option<EntryRef> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// More is reserved.
    pub(super) fn add(&self, bytes: u64) {
        self.reserved
            .store(self.reserved.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    pub(super) fn take(&self) -> Option<(EntryRef, u64)> {
        let place = self.entry.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((place, self.reserved.swap(0, Relaxed)))
    }
}

pub(super) fn fill_slots(slots: &[TenantSlot; MAX_TENANTS], holds: &mut TenantHolds, bytes: u64) {
    for (slot, place) in slots.iter().zip(&mut holds.places) {
        if let Some(place) = place.take() {
            slot.reserved.store(bytes, Relaxed);
            *slot.entry.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        }
    }
}

impl Rules {
    #[cold]
    pub(super) fn tenant_refusal(&self, denied: Denied, at: usize, name: &str, requested: Option<u64>) -> Refusal {
        Refusal::from_parts(RefusalParts {
            reason: denied.reason(),
            resource: self.tenants.get(at).map(|ledger: &Ledger| ledger.core().name().clone()),
            tenant: Some(name.into()),
            requested,
            limit: denied.limit(),
            mid_stream: false,
        })
    }
}
