use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, Release},
    },
    task::{Context, Poll},
};

use super::{BODY, Half, MAX_SCOPES, POLLED, Wish, trip_code};
use crate::{
    admission::MAX_TENANTS,
    capacity::{Priority, Progress, Reason, Refusal},
    tenant::{Denied, DeniedKind, Waiter},
};

/// The request body's half of a hold: counts what passes, closes what is written, and takes more when more comes.
#[derive(Debug)]
pub(crate) struct BodyHold<C> {
    pub(super) half: Half<C>,
    progress: Progress,
    /// The bytes that are paid for.
    reserved: u64,
    polled: bool,
    priority: Priority,
    /// Took more than it began with, ahead of what came.
    grown: bool,
    /// In report-only mode, after the refusal that would have been: reserves no more.
    unbound: bool,
    ahead: Option<Box<Ahead>>,
}

/// Of a body of unknown length whose tenants' ledgers may have to ask a store: that takes a while, so it is done before a
/// frame is there.
#[derive(Debug)]
struct Ahead {
    /// What is still to be asked for at the edge.
    rest: u64,
    waiter: Option<(usize, Arc<Waiter>)>,
    /// So much was not to be had, so what was had instead is the last.
    edge: Option<Denied>,
}

/// What is short for a body to grow.
enum Short {
    Refused(Refusal),
    /// The ledger at this place has to ask its store for so many bytes.
    Waits(usize, u64),
}

/// A growing hold is taken ahead by as much as it has, up to this, so that not every frame costs a reservation.
const AHEAD: u64 = 1 << 20;

impl<C> BodyHold<C> {
    #[inline]
    pub(super) fn new(half: Half<C>, wish: &Wish) -> Self {
        Self {
            reserved: wish.bytes,
            progress: Progress::new(wish.write_buffer),
            polled: wish.is_empty,
            priority: wish.priority,
            grown: false,
            unbound: false,
            ahead: None,
            half,
        }
    }

    /// What the layer needs for requests under way.
    pub(crate) fn context(&self) -> &C {
        &self.half.pool.context
    }

    /// Reserves no more; what comes is counted all the same.
    pub(super) fn unbind(&mut self) {
        self.unbound = true;
    }

    /// From now on [`poll_room`](Self::poll_room) sees to it that there is room before a frame is there.
    pub(super) fn wait_ahead(&mut self) {
        self.ahead = Some(Box::new(Ahead {
            rest: 0,
            waiter: None,
            edge: None,
        }));
    }

    /// Waits until there is room for the next frame, or certainly none.
    #[inline]
    pub(crate) fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.ahead.is_none() || self.unbound {
            return Poll::Ready(());
        }
        self.poll_ahead(context)
    }

    #[inline(never)]
    fn poll_ahead(&mut self, context: &Context<'_>) -> Poll<()> {
        loop {
            let Some(ahead) = &mut self.ahead else {
                return Poll::Ready(());
            };
            if let Some((at, waiter)) = &ahead.waiter {
                let Poll::Ready(outcome) = waiter.poll(context) else {
                    return Poll::Pending;
                };
                let (at, bytes) = (*at, waiter.bytes);
                ahead.waiter = None;
                match outcome {
                    Ok(()) => self.half.slot().tenants_at(at).add(bytes),
                    Err(denied) => ahead.deny(denied),
                }
            }
            let relayed = self.progress.relayed();
            let Some(ahead) = &mut self.ahead else {
                return Poll::Ready(());
            };
            let maximum = self.half.pool.rules.limits.load().maximum;
            let wanted = match ahead.edge {
                None if self.reserved >= relayed.saturating_add(AHEAD / 2).min(maximum) => return Poll::Ready(()),
                None => relayed.saturating_add(AHEAD),
                Some(_) if ahead.rest == 0 => return Poll::Ready(()),
                // All that there is; frames that do not fit into it do not fit.
                Some(_) => self
                    .reserved
                    .max(relayed)
                    .saturating_add(std::mem::take(&mut ahead.rest)),
            };
            match self.extend_to(wanted.min(maximum)) {
                // What comes may still fit, though not so much of it.
                Ok(()) | Err(Short::Refused(_)) => return Poll::Ready(()),
                Err(Short::Waits(at, bytes)) => self.ask(at, bytes),
            }
        }
    }

    /// Asks a ledger's store for more, and notes whom to wait for.
    fn ask(&mut self, at: usize, bytes: u64) {
        let (Some(ahead), Some(ledger)) = (&mut self.ahead, self.half.pool.rules.tenants.get(at)) else {
            return;
        };
        let slot = self.half.slot().tenants_at(at);
        let Some(place) = slot.place() else { return };
        match ledger.core().charge_more(place, bytes, true) {
            Ok(None) => slot.add(bytes),
            Ok(Some(waiter)) => ahead.waiter = Some((at, waiter)),
            Err(denied) => ahead.deny(denied),
        }
    }

    /// The service asks for the next frame: all but its write buffer of what it got is written.
    #[inline]
    pub(crate) fn asked(&mut self) {
        self.polled = true;
        if let Some((before, now)) = self.progress.asked() {
            self.close(before, now);
        }
    }

    /// A frame is about to be handed on.
    #[inline]
    pub(crate) fn relay(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.progress.relay(bytes);
        if self.progress.relayed() <= self.reserved {
            return Ok(());
        }
        self.grow()
    }

    #[inline(never)]
    fn grow(&mut self) -> Result<(), Refusal> {
        if self.unbound {
            return Ok(());
        }
        let needed = self.progress.relayed();
        let ahead = needed
            .saturating_add(self.reserved.min(AHEAD))
            .min(self.half.pool.rules.limits.load().maximum);
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
        let rules = &self.half.pool.rules;
        if !rules.tell_refused(&refusal) {
            self.unbound = true;
            return Ok(());
        }
        let slot = self.half.slot();
        slot.tripped.store(trip_code(&refusal, rules, slot), Release);
        Err(refusal)
    }

    /// A frame is here that is larger than what was asked for ahead. It is charged before the store was asked, unless that
    /// said already that there is no more.
    #[cold]
    fn overdraw(&mut self, at: usize, bytes: u64) -> Option<Refusal> {
        let rules = &self.half.pool.rules;
        let slot = self.half.slot().tenants_at(at);
        let (place, ledger) = (slot.place()?, rules.tenants.get(at)?);
        if let Some(denied) = self.ahead.as_ref().and_then(|ahead| ahead.edge) {
            let tenant = ledger.core().tenant_at(place).unwrap_or_default();
            let needed = self.progress.relayed();
            let refusal = rules.tenant_refusal(denied.of_total(needed), at, &tenant, Some(needed));
            return Some(refusal.into_mid_stream());
        }
        ledger.core().force_at(place, bytes);
        slot.add(bytes);
        if self.ahead.is_none() && !rules.limits.load().report_only {
            self.wait_ahead();
        }
        None
    }

    /// Takes what a body of `bytes` needs beyond what it has, of all scopes and tenants or of none.
    fn extend_to(&mut self, bytes: u64) -> Result<(), Short> {
        let pool = &*self.half.pool;
        let rules = &*pool.rules;
        // A largest body that became smaller meanwhile takes nothing back.
        if bytes <= self.reserved {
            return Ok(());
        }
        let refuse = |reason, place| {
            let refusal = rules.refusal(reason, place, Some(bytes)).into_mid_stream();
            Err(Short::Refused(refusal))
        };
        if bytes > rules.limits.load().maximum {
            return refuse(Reason::TooLarge, None);
        }
        let mut added = [0; MAX_SCOPES];
        for (place, (scope, more)) in rules.scopes.iter().zip(&mut added).enumerate() {
            let taken = scope.amount(bytes, self.priority).and_then(|amount| {
                let more = amount.saturating_sub(scope.tariff().total(self.reserved));
                scope.extend(more, self.priority)
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
        if let Err(short) = self.charge_tenants(bytes) {
            for (scope, more) in rules.scopes.iter().zip(added).rev() {
                scope.core().bytes.refund(more);
            }
            return Err(short);
        }
        for (left, more) in pool.slots.slot(self.half.index).left.iter().zip(added) {
            left.store(left.load(Relaxed) + more, Relaxed);
        }
        self.reserved = bytes;
        self.grown = true;
        Ok(())
    }

    /// Charges all tenants what a body of `bytes` needs beyond what is reserved of them, or none.
    fn charge_tenants(&self, bytes: u64) -> Result<(), Short> {
        let rules = &self.half.pool.rules;
        let slots = &self.half.slot().tenants;
        let mut added = [0; MAX_TENANTS];
        for (at, ((ledger, slot), more)) in rules.tenants.iter().zip(slots).zip(&mut added).enumerate() {
            let Some(place) = slot.place() else { continue };
            let missing = bytes.saturating_sub(slot.reserved.load(Relaxed));
            if missing == 0 {
                continue;
            }
            match ledger.core().charge_more(place, missing, false) {
                Ok(_) => *more = missing,
                Err(denied) => {
                    for ((ledger, slot), more) in rules.tenants.iter().zip(slots).zip(added).take(at).rev() {
                        if let Some(place) = slot.place() {
                            ledger.core().give_back(place, more);
                        }
                    }
                    if denied.kind() == DeniedKind::WouldWait {
                        return Err(Short::Waits(at, missing));
                    }
                    let tenant = ledger.core().tenant_at(place).unwrap_or_default();
                    let refusal = rules.tenant_refusal(denied.of_total(bytes), at, &tenant, Some(bytes));
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
    fn close(&self, before: u64, now: u64) {
        let slot = self.half.slot();
        for (scope, left) in self.half.pool.rules.scopes.iter().zip(&slot.left) {
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
        let slot = self.half.slot();
        let relayed = self.progress.relayed();
        for (scope, left) in self.half.pool.rules.scopes.iter().zip(&slot.left) {
            let unused = scope.tariff().total(self.reserved) - scope.tariff().total(relayed);
            let had = left.load(Relaxed);
            let unused = unused.min(had);
            left.store(had - unused, Relaxed);
            scope.core().bytes.refund(unused);
        }
    }
}

impl Ahead {
    /// Not so much; perhaps less.
    fn deny(&mut self, denied: Denied) {
        self.edge = Some(denied);
        self.rest = denied.available();
    }
}

impl<C> Drop for BodyHold<C> {
    #[inline]
    fn drop(&mut self) {
        if let Some((at, waiter)) = self.ahead.as_mut().and_then(|ahead| ahead.waiter.take()) {
            if waiter.abandon() {
                self.half.slot().tenants_at(at).add(waiter.bytes);
            }
        }
        if self.grown && self.progress.relayed() < self.reserved {
            self.return_what_never_came();
        }
        let slot = self.half.slot();
        if !self.half.pool.rules.tenants.is_empty() {
            slot.relayed.store(self.progress.relayed(), Relaxed);
        }
        self.half.leave(BODY, if self.polled { POLLED } else { 0 });
    }
}
