use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    holder::Reservation,
    slot::{ANSWERED, CHARGES_TENANTS, CUT_OFF, LayerContext, PARKS_BODY, ParkedBody, Shortage, Slot, UNBOUND},
};
use crate::{
    admission::tenant_charges::Shortfall,
    capacity::{Reason, Refusal},
    sync::atomic::Ordering::Relaxed,
    tenant::Waiter,
};

/// The request body's part of a reservation: counts what passes, closes what is written, and reserves more for what the
/// claim did not cover.
#[derive(Debug)]
pub(crate) struct BodyReservation {
    /// None where nothing is reserved and nothing counts.
    reservation: Reservation,
    /// Bytes that may be relayed before the body has to pay for a frame or close a piece.
    quiet_until: u64,
    /// How many of them are not relayed yet.
    quiet: u64,
    is_polled: bool,
}

/// Room that a frame needs and a ledger's store has to be asked for. The frame waits for it.
#[derive(Debug)]
pub(crate) struct Growth {
    /// The frame's bytes.
    frame: u64,
    waits: Option<(usize, Arc<Waiter>)>,
    /// The resources or tenants could not give more than the frame needs.
    is_exact: bool,
}

impl Growth {
    /// For a frame of so many bytes.
    pub(crate) fn new(frame: u64) -> Self {
        Self {
            frame,
            waits: None,
            is_exact: false,
        }
    }

    /// The bytes of the frame that needs it.
    pub(crate) fn frame(&self) -> u64 {
        self.frame
    }
}

/// Growing bodies reserve ahead as much as they have, up to this, so that not every frame costs a reservation.
const MAX_AHEAD: u64 = 1 << 20;

enum Short {
    Refused(Refusal),
    Waits(usize, Arc<Waiter>),
}

impl BodyReservation {
    #[inline(always)]
    pub(super) fn new(reservation: Reservation) -> Self {
        let quiet_until = reservation.slot().map_or(u64::MAX, Slot::quiet_until);
        Self {
            reservation,
            quiet_until,
            quiet: quiet_until,
            is_polled: false,
        }
    }

    /// Of a request that reserves nothing.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self {
            reservation: Reservation::none(),
            quiet_until: u64::MAX,
            quiet: u64::MAX,
            is_polled: false,
        }
    }

    #[inline(always)]
    pub(crate) fn is_some(&self) -> bool {
        self.reservation.slot().is_some()
    }

    /// The service asks for the next frame. `true` if a frame waits, or if something may be [closed](Self::close_written).
    #[inline(always)]
    pub(crate) fn before_frame(&mut self) -> bool {
        self.is_polled = true;
        self.quiet == 0
    }

    /// The service asks for the next frame, so all but its write buffer of what it received has been written.
    #[inline(never)]
    #[cold]
    pub(crate) fn close_written(&mut self) {
        let relayed = self.relayed();
        if let Some(slot) = self.reservation.slot() {
            if relayed >= slot.next_close.load(Relaxed) {
                slot.close_written(relayed);
            }
        }
        self.set_relayed(relayed);
    }

    /// Counts a frame before it is handed on. `false` if it is not paid for: then
    /// [`grow_ahead`](Self::grow_ahead) pays.
    #[inline(always)]
    pub(crate) fn relay(&mut self, frame: u64) -> bool {
        let is_quiet = frame < self.quiet;
        if is_quiet {
            self.quiet -= frame;
        }
        is_quiet
    }

    /// Reserves for a frame and some more ahead, and then counts the frame, where no store has to be asked. `false` if
    /// that does not fit: then [`grow`](Self::grow) decides.
    #[inline(never)]
    pub(crate) fn grow_ahead(&mut self, frame: u64) -> bool {
        let needed = self.relayed().saturating_add(frame);
        if let Some(slot) = self.reservation.slot() {
            let reserved = slot.reserved.load(Relaxed);
            let exceptions = slot.exceptions();
            if needed > reserved && exceptions & UNBOUND == 0 {
                let ahead = self.ahead(needed, reserved);
                if exceptions & CHARGES_TENANTS != 0 || ahead < needed {
                    return false;
                }
                if slot.extend(ahead).is_err() {
                    slot.refund_beyond(reserved);
                    return false;
                }
                slot.reserved.store(ahead, Relaxed);
            }
        }
        self.set_relayed(needed);
        true
    }

    fn ahead(&self, needed: u64, reserved: u64) -> u64 {
        let maximum = self
            .reservation
            .slot()
            .map_or(u64::MAX, |slot| slot.figures.limits.maximum());
        needed.saturating_add(reserved.min(MAX_AHEAD)).min(maximum)
    }

    /// Reserves for a frame that is not paid for, and some more ahead, and then counts it. Waits where a ledger has to ask
    /// its store. After a refusal the frame must not be handed on.
    #[cold]
    pub(crate) fn grow(&mut self, growth: &mut Growth, context: &Context<'_>) -> Poll<Result<(), Refusal>> {
        let needed = self.relayed().saturating_add(growth.frame);
        let Some(slot) = self.reservation.slot() else {
            return Poll::Ready(Ok(()));
        };
        let reserved = slot.reserved.load(Relaxed);
        loop {
            let mut denied = None;
            if let Some((at, waiter)) = &growth.waits {
                let Poll::Ready(outcome) = waiter.poll(context) else {
                    // Until then something is due.
                    (self.quiet_until, self.quiet) = (self.relayed(), 0);
                    return Poll::Pending;
                };
                let (at, bytes) = (*at, waiter.bytes);
                growth.waits = None;
                if let Some(tenants) = &mut slot.rare().tenants {
                    match outcome {
                        Ok(()) => tenants.add_granted(at, bytes),
                        Err(reason) => denied = Some(tenants.refusal(at, reason, needed)),
                    }
                }
            }
            let wanted = if growth.is_exact {
                needed
            } else {
                self.ahead(needed, reserved).max(needed)
            };
            let extended = match denied {
                Some(refusal) => Err(Short::Refused(refusal)),
                None => self.extend(wanted),
            };
            match extended {
                Ok(()) => {
                    slot.reserved.store(wanted, Relaxed);
                    break;
                }
                Err(Short::Waits(at, waiter)) => growth.waits = Some((at, waiter)),
                Err(Short::Refused(refusal)) => {
                    // All of it or none.
                    slot.refund_beyond(reserved);
                    if let Some(tenants) = &mut slot.rare().tenants {
                        tenants.give_back_beyond(reserved);
                    }
                    if wanted == needed {
                        return Poll::Ready(Err(self.permanent_first(needed, refusal)));
                    }
                    growth.is_exact = true;
                }
            }
        }
        self.set_relayed(needed);
        Poll::Ready(Ok(()))
    }

    /// Reserves of all scopes and tenants what a body of `bytes` needs beyond what is reserved.
    fn extend(&self, bytes: u64) -> Result<(), Short> {
        let Some(slot) = self.reservation.slot() else {
            return Ok(());
        };
        let short = if bytes > slot.figures.limits.maximum() {
            Some(Shortage::of_none(Reason::TooLarge))
        } else {
            slot.extend(bytes).err()
        };
        if let Some(Shortage { place, reason }) = short {
            if let Some(scope) = slot.figures.scopes.get(usize::from(place)) {
                // There may be room by now.
                scope.account().refresh();
            }
            let context = slot.figures.context();
            let refusal = context.map(|context| context.rules().refusal(reason, Some(place.into()), Some(bytes)));
            return Err(Short::Refused(
                refusal.unwrap_or(Refusal::new(reason)).into_mid_stream(),
            ));
        }
        if slot.exceptions() & CHARGES_TENANTS == 0 {
            return Ok(());
        }
        let mut rare = slot.rare();
        let Some(tenants) = &mut rare.tenants else {
            return Ok(());
        };
        tenants.extend(bytes).map_err(|shortfall| match shortfall {
            Shortfall::Waits(at, waiter) => Short::Waits(at, waiter),
            Shortfall::Denied(at, denied) => Short::Refused(tenants.refusal(at, denied, bytes).into_mid_stream()),
        })
    }

    /// Prefers a permanent refusal over a temporary one.
    fn permanent_first(&self, bytes: u64, refusal: Refusal) -> Refusal {
        if refusal.is_permanent() {
            return refusal.into_mid_stream();
        }
        let permanent = self.reservation.slot().and_then(|slot| {
            let context = slot.figures.context()?;
            let by_scope = context.exceeded_scope(bytes, slot.priority());
            by_scope.or_else(|| slot.rare().tenants.as_ref()?.exceeded(bytes))
        });
        permanent.unwrap_or(refusal).into_mid_stream()
    }

    /// The refusal is enforced: what it cuts off is neither handed on nor stored.
    pub(crate) fn cut_off(&self, refusal: Refusal) {
        if let Some(slot) = self.reservation.slot() {
            slot.rare().refusal = Some(refusal);
            slot.set(CUT_OFF);
        }
    }

    /// The refusal is only reported: the frame is counted, and nothing more is reserved of resources.
    pub(crate) fn unbind(&mut self, growth: &Growth) {
        let needed = self.relayed().saturating_add(growth.frame);
        if let Some(slot) = self.reservation.slot() {
            slot.unbind();
        }
        self.set_relayed(needed);
    }

    /// Counts the frame, and charges tenants although nobody has asked their store: where refusals are only reported,
    /// nothing may hold a request up.
    pub(crate) fn grow_unchecked(&mut self, growth: &mut Growth) {
        self.abandon(growth);
        let needed = self.relayed().saturating_add(growth.frame);
        if let Some(slot) = self.reservation.slot() {
            if let Some(tenants) = &mut slot.rare().tenants {
                tenants.extend_unchecked(needed);
            }
            slot.reserved.store(needed, Relaxed);
        }
        self.set_relayed(needed);
    }

    /// Keeps a body of which the handler gets no more until the response is decided.
    pub(crate) fn park(&self, body: Pin<Box<dyn ParkedBody>>) {
        let Some(slot) = self.reservation.slot() else { return };
        slot.rare().parked_body = Some(body);
        if slot.set(PARKS_BODY) & ANSWERED != 0 {
            let parked = slot.rare().parked_body.take();
            if let Some(body) = parked {
                slot.unpark(body);
            }
        }
    }

    /// What else the layer knows.
    pub(crate) fn context(&self) -> Option<Arc<LayerContext>> {
        self.reservation.slot()?.figures.context()
    }

    #[inline]
    fn relayed(&self) -> u64 {
        self.quiet_until - self.quiet
    }

    fn set_relayed(&mut self, relayed: u64) {
        self.quiet_until = self.reservation.slot().map_or(u64::MAX, Slot::quiet_until).max(relayed);
        self.quiet = self.quiet_until - relayed;
    }

    /// Gives up a frame before it is paid for: nothing of its growth stays reserved.
    pub(crate) fn abandon(&self, growth: &mut Growth) {
        let Some(slot) = self.reservation.slot() else { return };
        let reserved = slot.reserved.load(Relaxed);
        slot.refund_beyond(reserved);
        if let Some(tenants) = &mut slot.rare().tenants {
            if let Some((at, waiter)) = growth.waits.take() {
                // Granted, and nobody came for it.
                if waiter.abandon() {
                    tenants.add_granted(at, waiter.bytes);
                }
            }
            tenants.give_back_beyond(reserved);
        }
    }
}

impl Drop for BodyReservation {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(slot) = self.reservation.slot() {
            slot.end_body(self.relayed(), self.is_polled);
        }
    }
}
