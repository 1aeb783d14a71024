mod body;
mod growth;
#[cfg(storage_guard_loom)]
pub(crate) mod models;
mod pool;

use std::sync::{
    Arc,
    atomic::Ordering::{AcqRel, Acquire, Relaxed},
};

pub(crate) use self::body::BodyHold;
pub(super) use self::pool::Pools;
use self::pool::{BODY, POLLED, RESPONSE, SUCCEEDED, Slot, TOLD};
use super::{
    MAX_SCOPES, StorageFailure, Stored,
    admit::Rules,
    tenants::{TenantHolds, fill_slots},
};
use crate::capacity::{Charge, Priority, Reason, Refusal, RefusalParts, WriteBuffer};

/// What an admitted request holds of all its scopes. It ends when both its halves are gone: the request body's, since a
/// gRPC stream answers before it has read, and the response future's, since a handler writes after the last frame.
///
/// The halves meet in a slot of a pool, so that sharing costs no allocation.
#[derive(Debug)]
pub(crate) struct Hold<C> {
    body: BodyHold<C>,
    response: ResponseHold<C>,
}

impl<C> Hold<C> {
    #[inline(always)]
    fn new(slot: &Arc<Slot<C>>, wish: &Wish) -> Self {
        slot.growth.begin(wish);
        Self {
            response: ResponseHold { slot: slot.clone() },
            body: BodyHold::new(slot.clone()),
        }
    }

    /// The half for the request body, and the one for the response future.
    #[inline]
    pub(crate) fn split(self) -> (BodyHold<C>, ResponseHold<C>) {
        (self.body, self.response)
    }

    /// Adds what is reserved of tenants.
    pub(super) fn charge(&mut self, holds: &mut TenantHolds, wish: &Wish) {
        let slot = &self.response.slot;
        fill_slots(&slot.tenants, holds, wish.bytes);
        slot.declared.store(wish.declared, Relaxed);
        let rules = slot.rules();
        // What refuses nothing must not hold anything up either.
        let may_wait = wish.grows && !rules.limits.load().report_only;
        if may_wait && rules.tenants.iter().any(|ledger| ledger.core().is_leased()) {
            self.body.wait_ahead();
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) bytes: u64,
    /// No body will show whether something is written.
    pub(super) is_empty: bool,
    /// What is stored whatever of a body comes.
    pub(super) declared: u64,
    /// The length is not known, so more will be needed.
    pub(super) grows: bool,
    pub(super) priority: Priority,
    /// The largest body.
    pub(super) maximum: u64,
    pub(super) write_buffer: WriteBuffer,
}

/// The response future's half of a hold.
#[derive(Debug)]
pub(crate) struct ResponseHold<C> {
    slot: Arc<Slot<C>>,
}

impl<C> ResponseHold<C> {
    /// What the layer needs for requests under way.
    #[inline]
    pub(crate) fn context(&self) -> &C {
        &self.slot.home.context
    }

    /// Whether the body was cut off.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.slot.tripped.load(Acquire) != 0
    }

    /// Why the body was cut off, if it was.
    pub(crate) fn tripped(&self) -> Option<Refusal> {
        match self.slot.tripped.load(Acquire) {
            0 => None,
            code => Some(self.refusal_of(code)),
        }
    }

    #[cold]
    fn refusal_of(&self, code: u16) -> Refusal {
        let [reason, place] = (code - 1).to_le_bytes();
        // Codes are made below from a reason's place, so there is one.
        let reason = Reason::ALL.get(usize::from(reason)).copied().unwrap_or(Reason::Space);
        let place = (place > 0).then(|| usize::from(place) - 1);
        let rules = self.slot.rules();
        match place.and_then(|place| place.checked_sub(MAX_SCOPES)) {
            None => rules.refusal(reason, place, None),
            Some(at) => self.tenant_refusal(reason, at),
        }
        .into_mid_stream()
    }

    fn tenant_refusal(&self, reason: Reason, at: usize) -> Refusal {
        let rules = self.slot.rules();
        let place = self.slot.tenants_at(at).place();
        let ledger = rules.tenants.get(at);
        Refusal::from_parts(RefusalParts {
            reason,
            resource: ledger.map(|ledger| ledger.core().name().clone()),
            tenant: place.map(|place| place.tenant().into()),
            requested: None,
            limit: None,
            mid_stream: true,
        })
    }

    /// The storage said itself that it is full. The refusal that follows; `None` in report-only mode.
    #[cold]
    pub(crate) fn storage_failed(&self, failure: StorageFailure) -> Option<Refusal> {
        let rules = self.slot.rules();
        // A file that is too large says nothing about room, nor the disk anything about what bodies do not land on whole.
        let is_full = !failure.reason().is_permanent();
        for scope in rules
            .scopes
            .iter()
            .filter(|scope| is_full && scope.tariff().charge() == Charge::All)
        {
            scope.core().exhaust();
        }
        if is_full {
            // What this request holds comes back with the next reading as well, also if its body was never asked for:
            // otherwise the next one of its size would be let in.
            self.slot.gone.fetch_or(POLLED, AcqRel);
        }
        let refusal = rules.refusal(failure.reason(), None, None).into_mid_stream();
        rules.counters.count_late();
        rules.tell_refused(&refusal).then_some(refusal)
    }
}

impl<C> ResponseHold<C> {
    /// Whether it matters what the response says.
    #[inline]
    pub(crate) fn charges_tenants(&self) -> bool {
        !self.slot.rules().tenants.is_empty()
    }

    /// What the response says: whether what came is stored, and how much exactly, if the handler told.
    pub(crate) fn conclude(&self, succeeded: bool, told: Option<Stored>) {
        let slot = &self.slot;
        let mut flags = if succeeded { SUCCEEDED } else { 0 };
        if let Some(Stored(bytes)) = told {
            slot.told.store(bytes, Relaxed);
            flags |= TOLD;
        }
        slot.gone.fetch_or(flags, AcqRel);
    }
}

impl<C> Drop for ResponseHold<C> {
    #[inline]
    fn drop(&mut self) {
        self.slot.leave(RESPONSE, 0);
    }
}

fn trip_code<C>(refusal: &Refusal, slot: &Slot<C>) -> u16 {
    let rules = slot.rules();
    let place_of = |found: Option<usize>| found.map_or(0, |place| place as u8 + 1);
    let reason = Reason::ALL.iter().position(|reason| *reason == refusal.reason());
    let name = refusal.resource();
    let scope = if refusal.tenant().is_some() {
        let mut charged = rules.tenants.iter().zip(&slot.tenants);
        let ledger = charged.position(|(ledger, slot)| {
            let place = slot.place();
            Some(ledger.name()) == name && place.as_ref().map(|place| place.tenant()) == refusal.tenant()
        });
        ledger.map(|at| at + MAX_SCOPES)
    } else {
        rules.scopes.iter().position(|scope| Some(&*scope.core().name) == name)
    };
    // Both are below 255: there are few reasons, and at most MAX_SCOPES scopes and MAX_TENANTS ledgers.
    1 + u16::from_le_bytes([reason.unwrap_or(0) as u8, place_of(scope)])
}

impl Rules {
    #[cold]
    pub(super) fn refusal(&self, reason: Reason, place: Option<usize>, requested: Option<u64>) -> Refusal {
        let scope = place.and_then(|place| self.scopes.get(place));
        let limit = match reason {
            Reason::TooLarge => Some(self.limits.load().maximum),
            Reason::ExceedsCapacity => scope.map(|scope| scope.core().ceiling()),
            Reason::Space => scope.map(|scope| scope.core().bytes.headroom().max(0).unsigned_abs()),
            _ => None,
        };
        Refusal::from_parts(RefusalParts {
            reason,
            resource: scope.map(|scope| scope.core().name.clone()),
            tenant: None,
            requested,
            limit,
            mid_stream: false,
        })
    }
}
