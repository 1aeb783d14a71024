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
    /// None once it is given up.
    slot: Option<SlotArc<Slot>>,
}

impl Reservation {
    /// The bytes of the request that are reserved, without what the file system needs beside them. Grows with a body of
    /// unknown length.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.slot().reserved.load(Relaxed)
    }

    /// Gives up this clone, like dropping it.
    pub fn release(self) {}

    pub(super) fn new(slot: SlotArc<Slot>) -> Self {
        Self { slot: Some(slot) }
    }

    /// Adds what is charged to tenants.
    pub(in crate::admission) fn charge(&self, charges: TenantCharges) {
        self.slot().rare().tenants = Some(charges);
        self.slot().set(CHARGES_TENANTS);
    }

    #[inline(always)]
    #[expect(clippy::expect_used, reason = "taken when it is dropped, and not before")]
    pub(super) fn slot(&self) -> &Slot {
        self.slot.as_deref().expect("not dropped yet")
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
        let Some(mut slot) = self.slot.take() else { return };
        // The last holder ends the reservation. Where the last two go at once, neither finds itself alone: the slot is
        // dropped then, and ends the reservation by that.
        if is_alone(&mut slot) {
            end(slot);
        }
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
