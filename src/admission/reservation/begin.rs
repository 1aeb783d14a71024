use std::sync::{Arc, PoisonError};

use super::{
    body::BodyReservation,
    holder::Reservation,
    kept,
    response::ResponseReservation,
    slot::{Figures, Shortage, Slot},
};
use crate::{capacity::Claim, sync::Arc as SlotArc};

impl Figures {
    /// Reserves what the claim asks for of all scopes, or of none.
    #[inline(never)]
    pub(in crate::admission) fn reserve(self: &Arc<Self>, claim: &Claim) -> Result<Reservation, Shortage> {
        let slot = self.begin(claim);
        let reserved = slot.reserve(claim);
        let reservation = Reservation::new(slot);
        // On failure the reservation is dropped, and so gives back what it has.
        reserved.map(|()| reservation)
    }

    /// A reservation of nothing, for a request that goes on although its claim does not fit.
    pub(in crate::admission) fn reserve_nothing(self: &Arc<Self>, claim: &Claim) -> Reservation {
        let slot = self.begin(claim);
        slot.unbind();
        Reservation::new(slot)
    }

    #[inline(always)]
    fn begin(self: &Arc<Self>, claim: &Claim) -> SlotArc<Slot> {
        let slot = kept::take(self).unwrap_or_else(|| self.make_slot());
        slot.limits.update(&self.limits);
        slot.begin(claim);
        slot
    }

    #[cold]
    fn make_slot(self: &Arc<Self>) -> SlotArc<Slot> {
        let slot = SlotArc::new(Slot::new(self.clone()));
        #[cfg(not(storage_guard_loom))]
        {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() == slots.capacity() {
                slots.retain(|slot| slot.strong_count() > 0);
            }
            slots.push(Arc::downgrade(&slot));
        }
        slot
    }
}

/// The parts of a reservation, for the request body and for the response.
#[inline(always)]
pub(in crate::admission) fn split(reservation: Reservation) -> (BodyReservation, ResponseReservation) {
    (
        BodyReservation::new(reservation.clone()),
        ResponseReservation::new(reservation),
    )
}
