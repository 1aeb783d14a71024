use std::fmt;

use super::{
    kept,
    slot::{CHARGES_TENANTS, Slot},
};
use crate::{
    admission::tenant_charges::TenantCharges,
    sync::{Arc as SlotArc, atomic::Ordering::Relaxed, is_alone},
};

/// The room that an admitted request has reserved, of all of its layer's resources and tenants.
///
/// A handler gets it from the request's extensions where the layer [exposes](
/// crate::StorageGuardBuilder::expose_reservation) it. The request body and the response hold the same reservation; it ends
/// when they and all clones are dropped. A task that writes after the response, or while the client may leave, keeps a
/// clone, and so keeps the room.
pub struct Reservation {
    /// None where nothing is reserved, or once it is given up.
    slot: Option<SlotArc<Slot>>,
}

impl Reservation {
    /// The bytes of the request that are reserved, without what the file system needs beside them. Grows with a body of
    /// unknown length.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.slot().map_or(0, |slot| slot.reserved.load(Relaxed))
    }

    /// Gives up this clone, like dropping it.
    pub fn release(self) {}

    #[inline(always)]
    pub(super) const fn new(slot: SlotArc<Slot>) -> Self {
        Self { slot: Some(slot) }
    }

    /// Of a request that reserves nothing.
    #[inline(always)]
    pub(super) const fn none() -> Self {
        Self { slot: None }
    }

    /// Adds what is charged to tenants. No more of the body is paid for than they are charged, even if the minimum charge was
    /// raised meanwhile.
    #[inline(always)]
    pub(in crate::admission) fn charge(&self, charges: TenantCharges, bytes: u64) {
        if let Some(slot) = self.slot() {
            slot.reserved.store(slot.reserved.load(Relaxed).min(bytes), Relaxed);
            slot.rare().tenants = Some(charges);
            slot.set(CHARGES_TENANTS);
        }
    }

    #[inline(always)]
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.slot.as_deref()
    }
}

impl Clone for Reservation {
    #[inline(always)]
    fn clone(&self) -> Self {
        Self {
            slot: self.slot.clone(),
        }
    }
}

impl Drop for Reservation {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            give_up(slot);
        }
    }
}

/// The last holder ends the reservation. Where the last two go at once, neither finds itself alone: the slot is dropped
/// then, and ends the reservation by that.
#[inline(never)]
fn give_up(mut slot: SlotArc<Slot>) {
    if is_alone(&mut slot) {
        end(slot);
    }
}

#[inline(never)]
fn end(slot: SlotArc<Slot>) {
    slot.end();
    kept::keep(slot);
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("reserved", &self.reserved())
            .finish_non_exhaustive()
    }
}
