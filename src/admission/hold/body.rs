use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, Release},
    },
    task::{Context, Poll, ready},
};

use super::{
    BODY, MAX_SCOPES, POLLED, Slot,
    growth::{AHEAD, ASKED, Ahead, GROWN, UNBOUND},
    trip_code,
};
use crate::{
    admission::MAX_TENANTS,
    capacity::{Reason, Refusal},
    tenant::DeniedKind,
};

/// The request body's half of a hold: counts what passes, closes what is written, and takes more when more comes.
///
/// Small, because it is moved about with every request; the rest is in the [slot](Growth).
#[derive(Debug)]
pub(crate) struct BodyHold<C> {
    slot: Arc<Slot<C>>,
    /// Bytes that were handed on.
    relayed: u64,
    /// Up to here nothing needs attention: frames below are paid for, and no piece of the hold can be closed.
    attend: u64,
}

/// What is short for a body to grow.
enum Short {
    Refused(Refusal),
    /// The ledger at this place has to ask its store for so many bytes.
    Waits(usize, u64),
}

/// A growing hold is taken ahead by as much as it has, up to this, so that not every frame costs a reservation.
const LEAP: u64 = 1 << 20;

impl<C> BodyHold<C> {
    #[inline(always)]
    pub(super) fn new(slot: Arc<Slot<C>>) -> Self {
        // The first look at the body needs attention: from then on something may be written.
        Self {
            slot,
            relayed: 0,
            attend: 0,
        }
    }

    /// What the layer needs for requests under way.
    pub(crate) fn context(&self) -> &C {
        &self.slot.home.context
    }

    /// Reserves no more; what comes is counted all the same.
    pub(super) fn unbind(&mut self) {
        self.slot.growth.mark(UNBOUND);
    }

    /// From now on [`asked`](Self::asked) sees to it that there is room before a frame is there.
    pub(super) fn wait_ahead(&mut self) {
        self.slot.growth.put_ahead(Box::default());
    }

    /// The service asks for the next frame: all but its write buffer of what it got is written. Waits, where a store has
    /// to be asked, until there is room for a frame, or certainly none.
    #[inline(always)]
    pub(crate) fn asked(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.relayed < self.attend {
            return Poll::Ready(());
        }
        self.attend_to(context)
    }

    #[inline(never)]
    fn attend_to(&mut self, context: &Context<'_>) -> Poll<()> {
        let growth = &self.slot.growth;
        let marks = growth.marks.load(Relaxed) | ASKED;
        growth.marks.store(marks, Relaxed);
        if self.relayed >= growth.next_close.load(Relaxed) {
            self.close_piece();
        }
        if marks & (AHEAD | UNBOUND) == AHEAD {
            ready!(self.wait_for_room(context));
        }
        self.set_attend();
        Poll::Ready(())
    }

    #[inline]
    fn set_attend(&mut self) {
        let growth = &self.slot.growth;
        let next_close = growth.next_close.load(Relaxed);
        self.attend = match growth.marks.load(Relaxed) & (AHEAD | UNBOUND) {
            0 => next_close.min(growth.reserved().saturating_add(1)),
            AHEAD => 0,
            _ => next_close,
        };
    }

    #[cold]
    fn wait_for_room(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(mut ahead) = self.slot.growth.take_ahead() else {
            return Poll::Ready(());
        };
        let outcome = self.poll_ahead(&mut ahead, context);
        self.slot.growth.put_ahead(ahead);
        outcome
    }

    fn poll_ahead(&mut self, ahead: &mut Ahead, context: &Context<'_>) -> Poll<()> {
        loop {
            if let Some((at, waiter)) = &ahead.waiter {
                let outcome = ready!(waiter.poll(context));
                let (at, bytes) = (*at, waiter.bytes);
                ahead.waiter = None;
                match outcome {
                    Ok(()) => self.slot.tenants_at(at).add(bytes),
                    Err(denied) => ahead.deny(denied),
                }
            }
            let relayed = self.relayed;
            let reserved = self.slot.growth.reserved();
            let maximum = self.slot.rules().limits.maximum();
            let wanted = match ahead.edge {
                None if reserved >= relayed.saturating_add(LEAP / 2).min(maximum) => return Poll::Ready(()),
                None => relayed.saturating_add(LEAP),
                Some(_) if ahead.rest == 0 => return Poll::Ready(()),
                // All that there is; frames that do not fit into it do not fit.
                Some(_) => reserved.max(relayed).saturating_add(std::mem::take(&mut ahead.rest)),
            };
            match self.extend_to(wanted.min(maximum)) {
                // What comes may still fit, though not so much of it.
                Ok(()) | Err(Short::Refused(_)) => return Poll::Ready(()),
                Err(Short::Waits(at, bytes)) => self.ask(ahead, at, bytes),
            }
        }
    }

    /// Asks a ledger's store for more, and notes whom to wait for.
    fn ask(&self, ahead: &mut Ahead, at: usize, bytes: u64) {
        let Some(ledger) = self.slot.rules().tenants.get(at) else {
            return;
        };
        let slot = self.slot.tenants_at(at);
        let Some(place) = slot.place() else { return };
        match ledger.core().charge_more(&place, bytes, true) {
            Ok(None) => slot.add(bytes),
            Ok(Some(waiter)) => ahead.waiter = Some((at, waiter)),
            Err(denied) => ahead.deny(denied),
        }
    }

    /// A frame is about to be handed on.
    #[inline(always)]
    pub(crate) fn relay(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.relayed = self.relayed.saturating_add(bytes);
        if self.relayed < self.attend {
            return Ok(());
        }
        self.grow(bytes)
    }

    /// Takes more, if what is handed on is not paid for.
    #[inline(never)]
    fn grow(&mut self, frame: u64) -> Result<(), Refusal> {
        let growth = &self.slot.growth;
        let reserved = growth.reserved();
        let needed = self.relayed;
        if needed <= reserved || growth.has(UNBOUND) {
            return Ok(());
        }
        let ahead = needed
            .saturating_add(reserved.min(LEAP))
            .min(self.slot.rules().limits.maximum());
        if ahead > needed && self.extend_to(ahead).is_ok() {
            return Ok(());
        }
        let refusal = loop {
            match self.extend_to(needed) {
                Ok(()) => return Ok(()),
                Err(Short::Refused(refusal)) => break refusal,
                Err(Short::Waits(at, bytes)) => {
                    if let Some(refusal) = self.overdraw(at, bytes) {
                        break refusal;
                    }
                }
            }
        };
        let refusal = self.permanent_first(needed, refusal);
        let rules = self.slot.rules();
        if !rules.tell_refused(&refusal) {
            self.slot.growth.mark(UNBOUND);
            return Ok(());
        }
        let slot = &self.slot;
        slot.tripped.store(trip_code(&refusal, slot), Release);
        // What is refused is not handed on, and not stored.
        self.relayed = self.relayed.saturating_sub(frame);
        Err(refusal)
    }

    /// A later scope or ledger may refuse for good what an earlier one refuses for now.
    #[cold]
    fn permanent_first(&self, bytes: u64, refusal: Refusal) -> Refusal {
        if refusal.is_permanent() {
            return refusal;
        }
        let rules = self.slot.rules();
        let mut scopes = rules.scopes.iter().enumerate();
        let by_scope = scopes.find_map(|(place, scope)| {
            let reason = scope.amount(bytes, self.slot.growth.priority()).err()?;
            Some(rules.refusal(reason, Some(place), Some(bytes)))
        });
        let by_tenant = || {
            let mut ledgers = rules.tenants.iter().zip(&self.slot.tenants).enumerate();
            ledgers.find_map(|(at, (ledger, slot))| {
                let place = slot.place()?;
                let denied = ledger.core().exceeds(place.tenant(), bytes)?;
                Some(rules.tenant_refusal(denied, at, place.tenant(), Some(bytes)))
            })
        };
        by_scope.or_else(by_tenant).map_or(refusal, Refusal::into_mid_stream)
    }

    /// A frame is here that is larger than what was asked for ahead. It is charged before the store was asked, unless that
    /// said already that there is no more.
    #[cold]
    fn overdraw(&mut self, at: usize, bytes: u64) -> Option<Refusal> {
        let rules = self.slot.rules();
        let slot = self.slot.tenants_at(at);
        let (place, ledger) = (slot.place()?, rules.tenants.get(at)?);
        let ahead = self.slot.growth.take_ahead();
        let edge = ahead.as_ref().and_then(|ahead| ahead.edge);
        if let Some(ahead) = ahead {
            self.slot.growth.put_ahead(ahead);
        }
        if let Some(denied) = edge {
            let needed = self.relayed;
            let refusal = rules.tenant_refusal(denied.of_total(needed), at, place.tenant(), Some(needed));
            return Some(refusal.into_mid_stream());
        }
        ledger.core().charge_unchecked_at(&place, bytes);
        slot.add(bytes);
        if !self.slot.growth.has(AHEAD) && !rules.limits.load().report_only {
            self.wait_ahead();
        }
        None
    }

    /// Takes what a body of `bytes` needs beyond what it has, of all scopes and tenants or of none.
    fn extend_to(&mut self, bytes: u64) -> Result<(), Short> {
        let rules = self.slot.rules();
        // A largest body that became smaller meanwhile takes nothing back.
        let reserved = self.slot.growth.reserved();
        if bytes <= reserved {
            return Ok(());
        }
        let priority = self.slot.growth.priority();
        let refuse = |reason, place| {
            let refusal = rules.refusal(reason, place, Some(bytes)).into_mid_stream();
            Err(Short::Refused(refusal))
        };
        if bytes > rules.limits.maximum() {
            return refuse(Reason::TooLarge, None);
        }
        let mut added = [0; MAX_SCOPES];
        for (place, (scope, more)) in rules.scopes.iter().zip(&mut added).enumerate() {
            let taken = scope.amount(bytes, priority).and_then(|amount| {
                let more = amount.saturating_sub(scope.tariff().total(reserved));
                scope.extend(more, priority)
            });
            match taken {
                Ok(taken) => *more = taken,
                Err(reason) => {
                    for (scope, more) in rules.scopes.iter().zip(added).take(place).rev() {
                        scope.core().bytes.refund(more);
                    }
                    scope.core().kick();
                    return refuse(reason, Some(place));
                }
            }
        }
        let charged = if rules.tenants.is_empty() {
            Ok(())
        } else {
            self.charge_tenants(bytes)
        };
        if let Err(short) = charged {
            for (scope, more) in rules.scopes.iter().zip(added).rev() {
                scope.core().bytes.refund(more);
            }
            return Err(short);
        }
        for (left, more) in self.slot.left.iter().zip(added).take(rules.scopes.len()) {
            left.store(left.load(Relaxed) + more, Relaxed);
        }
        self.slot.growth.reserved.store(bytes, Relaxed);
        self.slot.growth.mark(GROWN);
        self.set_attend();
        Ok(())
    }

    /// Charges all tenants what a body of `bytes` needs beyond what is reserved of them, or none.
    fn charge_tenants(&self, bytes: u64) -> Result<(), Short> {
        let rules = self.slot.rules();
        let slots = &self.slot.tenants;
        let mut added = [0; MAX_TENANTS];
        for (at, ((ledger, slot), more)) in rules.tenants.iter().zip(slots).zip(&mut added).enumerate() {
            let Some(place) = slot.place() else { continue };
            let missing = bytes.saturating_sub(slot.reserved.load(Relaxed));
            if missing == 0 {
                continue;
            }
            match ledger.core().charge_more(&place, missing, false) {
                Ok(_) => *more = missing,
                Err(denied) => {
                    for ((ledger, slot), more) in rules.tenants.iter().zip(slots).zip(added).take(at).rev() {
                        if let Some(place) = slot.place() {
                            ledger.core().give_back(&place, more);
                        }
                    }
                    if denied.kind() == DeniedKind::WouldWait {
                        return Err(Short::Waits(at, missing));
                    }
                    let refusal = rules.tenant_refusal(denied.of_total(bytes), at, place.tenant(), Some(bytes));
                    return Err(Short::Refused(refusal.into_mid_stream()));
                }
            }
        }
        for (slot, more) in slots.iter().zip(added) {
            slot.add(more);
        }
        Ok(())
    }

    #[cold]
    fn close_piece(&self) {
        let growth = &self.slot.growth;
        let mut closing = growth.closing();
        if let Some((before, now)) = closing.asked(self.relayed) {
            growth.keep(closing);
            self.close(before, now);
        }
    }

    fn close(&self, before: u64, now: u64) {
        let slot = &self.slot;
        for (scope, left) in self.slot.rules().scopes.iter().zip(&slot.left) {
            let written = scope.tariff().written(now) - scope.tariff().written(before);
            let had = left.load(Relaxed);
            let closing = written.min(had);
            if closing > 0 {
                left.store(had - closing, Relaxed);
                scope.core().close(closing);
            }
        }
    }

    /// Bytes that were taken ahead and never came cannot have been written.
    fn return_what_never_came(&self) {
        let slot = &self.slot;
        let (relayed, reserved) = (self.relayed, slot.growth.reserved());
        for (scope, left) in self.slot.rules().scopes.iter().zip(&slot.left) {
            let unused = scope.tariff().total(reserved) - scope.tariff().total(relayed);
            let had = left.load(Relaxed);
            let unused = unused.min(had);
            left.store(had - unused, Relaxed);
            scope.core().bytes.refund(unused);
        }
    }
}

impl<C> Drop for BodyHold<C> {
    #[inline]
    fn drop(&mut self) {
        let slot = &self.slot;
        let marks = slot.growth.marks.load(Relaxed);
        if marks & (AHEAD | GROWN) != 0 {
            self.let_go();
        }
        slot.relayed.store(self.relayed, Relaxed);
        slot.leave(BODY, if marks & ASKED != 0 { POLLED } else { 0 });
    }
}

impl<C> BodyHold<C> {
    #[inline(never)]
    fn let_go(&self) {
        let waits = self.slot.growth.take_ahead().and_then(|ahead| ahead.waiter);
        if let Some((at, waiter)) = waits {
            if waiter.abandon() {
                self.slot.tenants_at(at).add(waiter.bytes);
            }
        }
        if self.relayed < self.slot.growth.reserved() && self.slot.growth.has(GROWN) {
            self.return_what_never_came();
        }
    }
}
