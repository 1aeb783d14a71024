//! The one way of every reservation: begin, reserve, extend, close early, end.

use super::slot::{CHARGES_TENANTS, CUT_OFF, ESSENTIAL, HOLDS_INODES, KEEPS_HEAD, PARKS_BODY, STORED, Shortage, Slot};
use crate::{
    admission::scope::Scope,
    capacity::{Claim, Closing, Priority, Reason},
    sync::atomic::{
        AtomicU64,
        Ordering::{Relaxed, Release},
    },
};

/// What few requests have and the end takes care of.
const HAS_RARE: u16 = CUT_OFF | CHARGES_TENANTS | PARKS_BODY | KEEPS_HEAD;

impl Slot {
    /// Begins a reservation that holds nothing yet.
    #[inline(always)]
    pub(super) fn begin(&self, claim: &Claim) {
        let minimum = self.limits.minimum();
        let exceptions = match claim.priority {
            Priority::Usual => 0,
            Priority::Essential => ESSENTIAL,
        };
        self.exceptions.store(exceptions, Relaxed);
        self.may_be_written.store(false, Relaxed);
        self.reserved.store(claim.bytes.max(minimum), Relaxed);
        self.kept_at_least
            .store(claim.stored_elsewhere.max(claim.may_allocate).max(minimum), Relaxed);
        self.next_close.store(self.limits.first_close(), Relaxed);
        self.relayed.store(0, Relaxed);
        self.is_over.store(false, Relaxed);
    }

    /// Takes what the claim asks for of every scope. After a failure the reservation has to end.
    #[inline(always)]
    pub(super) fn reserve(&self, claim: &Claim) -> Result<(), Shortage> {
        let bytes = self.reserved.load(Relaxed);
        if bytes > self.limits.maximum() {
            return Err(Shortage::of_none(Reason::TooLarge));
        }
        if claim.may_grow && self.limits.require_length() {
            return Err(Shortage::of_none(Reason::LengthRequired));
        }
        for (scope, held) in self.figures.scopes.iter().zip(&self.held) {
            let usual = match claim.priority {
                Priority::Usual => scope.try_take(bytes),
                Priority::Essential => None,
            };
            match usual {
                Some(amount) => held.store(amount, Relaxed),
                None => self.take(scope, held, bytes, claim.priority)?,
            }
        }
        // Not before: what a failed reservation gives back is refunded.
        self.may_be_written.store(claim.creates, Relaxed);
        self.admitted.store(self.admitted.load(Relaxed) + 1, Relaxed);
        Ok(())
    }

    #[cold]
    fn take(&self, scope: &Scope, held: &AtomicU64, bytes: u64, priority: Priority) -> Result<(), Shortage> {
        let place = self.held.iter().position(|other| std::ptr::eq(other, held));
        let place = place.map_or(u8::MAX, |place| place as u8);
        let (amount, has_inode) = scope
            .take(bytes, priority)
            .map_err(|reason| Shortage { place, reason })?;
        held.store(amount, Relaxed);
        if has_inode {
            self.inodes.store(self.inodes.load(Relaxed) | 1 << place, Relaxed);
            self.set(HOLDS_INODES);
        }
        Ok(())
    }

    /// Takes of every scope what a body of `bytes` needs beyond what is held. After a failure, what the earlier scopes gave is
    /// to be [refunded](Self::refund_beyond).
    #[inline(always)]
    pub(super) fn extend(&self, bytes: u64) -> Result<(), Shortage> {
        let priority = self.priority();
        let closed = self.closing().written();
        for (place, (scope, held)) in self.figures.scopes.iter().zip(&self.held).enumerate() {
            let had = held.load(Relaxed);
            let taken = scope.amount(bytes, priority).and_then(|amount| {
                let has = had.saturating_add(scope.model().written(closed));
                scope.extend(amount.saturating_sub(has), priority)
            });
            match taken {
                Ok(more) => held.store(had + more, Relaxed),
                Err(reason) => {
                    let place = place as u8;
                    return Err(Shortage { place, reason });
                }
            }
        }
        Ok(())
    }

    /// Closes what is written by now: all but the write buffer of the relayed bytes.
    pub(super) fn close_written(&self, relayed: u64) {
        let mut closing = self.closing();
        let Some((before, now)) = closing.advance(relayed) else {
            return;
        };
        self.next_close.store(closing.to_parts().1, Relaxed);
        for (scope, held) in self.figures.scopes.iter().zip(&self.held) {
            let written = scope.model().written(now) - scope.model().written(before);
            let had = held.load(Relaxed);
            let closed = written.min(had);
            if closed > 0 {
                held.store(had - closed, Relaxed);
                scope.account().close(closed);
            }
        }
    }

    fn closing(&self) -> Closing {
        Closing::from_parts(self.limits.write_buffer(), self.next_close.load(Relaxed))
    }

    /// The body is gone. What it did not bring is refunded, but for what is stored from elsewhere.
    #[inline(always)]
    pub(super) fn end_body(&self, relayed: u64, is_polled: bool) {
        self.relayed.store(relayed, Relaxed);
        if is_polled {
            self.may_be_written.store(true, Relaxed);
        }
        if relayed < self.reserved.load(Relaxed) {
            self.refund_beyond(relayed);
        }
    }

    /// Refunds what is held beyond the need of a body of `bytes`, and of what is stored from elsewhere.
    #[cold]
    pub(super) fn refund_beyond(&self, bytes: u64) {
        let kept = bytes.max(self.kept_at_least.load(Relaxed));
        let closed = self.closing().written();
        for (scope, held) in self.figures.scopes.iter().zip(&self.held) {
            let (model, had) = (scope.model(), held.load(Relaxed));
            let keeps = model.total(kept).saturating_sub(model.written(closed)).min(had);
            if keeps < had {
                held.store(keeps, Relaxed);
                scope.account().bytes.refund(had - keeps);
            }
        }
    }

    /// Ends the reservation: what it still holds is closed, or refunded if nothing can have been written.
    #[inline(always)]
    pub(super) fn end(&self) {
        let exceptions = self.exceptions.load(Relaxed);
        if exceptions & (HAS_RARE | HOLDS_INODES) != 0 {
            self.end_exceptions(exceptions);
        }
        let may_be_written = self.may_be_written.load(Relaxed);
        for (scope, held) in self.figures.scopes.iter().zip(&self.held).rev() {
            let amount = held.load(Relaxed);
            if amount > 0 {
                held.store(0, Relaxed);
                if may_be_written {
                    scope.account().close(amount);
                } else {
                    scope.account().bytes.refund(amount);
                }
            }
        }
        self.is_over.store(true, Release);
    }

    #[inline(never)]
    fn end_exceptions(&self, exceptions: u16) {
        if exceptions & CHARGES_TENANTS != 0 {
            let mut tenants = self.rare().tenants.take();
            if let Some(tenants) = &mut tenants {
                let relayed = (exceptions & STORED != 0).then(|| self.relayed.load(Relaxed));
                tenants.settle(relayed);
            }
        }
        if exceptions & (CUT_OFF | PARKS_BODY | KEEPS_HEAD) != 0 {
            let rare = std::mem::take(&mut *self.rare());
            if let Some(body) = rare.parked_body {
                self.unpark(body);
            }
        }
        if exceptions & HOLDS_INODES != 0 {
            let inodes = self.inodes.swap(0, Relaxed);
            let may_be_written = self.may_be_written.load(Relaxed);
            for (place, scope) in self.figures.scopes.iter().enumerate().rev() {
                match (inodes & 1 << place != 0, may_be_written) {
                    (false, _) => {}
                    (true, true) => _ = scope.account().inodes.close(1),
                    (true, false) => scope.account().inodes.refund(1),
                }
            }
        }
    }
}
