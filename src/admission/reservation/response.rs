use std::{any::Any, pin::Pin, sync::Arc};

use super::{
    holder::Reservation,
    slot::{
        ANSWERED, CHARGES_TENANTS, CUT_OFF, EXPOSED, KEEPS_HEAD, LayerContext, PARKS_BODY, ParkedBody, STORED, Slot,
    },
};
use crate::{
    admission::{StorageFailure, Stored},
    capacity::{Reason, Refusal},
    sync::atomic::Ordering::Relaxed,
};

/// The response future's part of a reservation.
#[derive(Debug)]
pub(crate) struct ResponseReservation {
    /// None where nothing is reserved, or once the response is decided.
    reservation: Reservation,
}

impl ResponseReservation {
    #[inline(always)]
    pub(super) const fn new(reservation: Reservation) -> Self {
        Self { reservation }
    }

    /// Of a request that reserves nothing.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self {
            reservation: Reservation::none(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_some(&self) -> bool {
        self.reservation.slot().is_some()
    }

    /// Whether the response has to be looked at: the body was cut off, tenants are charged, or a handle may outlive it.
    #[inline(always)]
    pub(crate) fn needs_inspection(&self) -> bool {
        self.exceptions() & (CUT_OFF | CHARGES_TENANTS | EXPOSED) != 0
    }

    /// A handle for the handler.
    pub(crate) fn expose(&self) -> Option<Reservation> {
        self.reservation.slot()?.set(EXPOSED);
        Some(self.reservation.clone())
    }

    /// The refusal that cut the body off, if it was.
    pub(crate) fn cut_off(&self) -> Option<Refusal> {
        let slot = self.reservation.slot()?;
        if slot.exceptions() & CUT_OFF == 0 {
            return None;
        }
        slot.rare().refusal.clone()
    }

    /// The storage itself failed. Returns the refusal, unless refusals are only reported.
    #[cold]
    pub(crate) fn storage_failed(&self, failure: StorageFailure) -> Option<Refusal> {
        let slot = self.reservation.slot()?;
        let context = slot.figures.context()?;
        let rules = context.rules();
        // A user's quota (`EDQUOT`) and the largest file (`EFBIG`) say nothing about the room of others.
        if matches!(failure.reason(), Reason::Space | Reason::ReadOnly) {
            let scopes = rules.resources.iter().zip(&slot.figures.scopes);
            for (resource, _) in scopes.filter(|(_, scope)| scope.stores_bodies()) {
                resource.exhaust();
            }
        }
        let refusal = rules.refusal(failure.reason(), None, None).into_mid_stream();
        rules.counters.count_late();
        rules.record_refusal(&refusal).then_some(refusal)
    }

    pub(crate) fn charges_tenants(&self) -> bool {
        self.exceptions() & CHARGES_TENANTS != 0
    }

    /// Records whether the response means that the body's bytes are stored, or its exact figure.
    pub(crate) fn note_outcome(&self, is_stored: bool, stored: Option<Stored>) {
        if let Some(slot) = self.reservation.slot() {
            if is_stored {
                slot.set(STORED);
            }
            if let Some(stored) = stored {
                if let Some(tenants) = &mut slot.rare().tenants {
                    tenants.set_stored(stored);
                }
            }
        }
    }

    /// Notes something for the end of the request.
    #[inline(always)]
    pub(crate) fn set_note(&self, note: u8) {
        if let Some(slot) = self.reservation.slot() {
            slot.note.store(note, Relaxed);
        }
    }

    /// Keeps the request's head for its end.
    pub(crate) fn keep_head(&self, head: Box<dyn Any + Send>) {
        if let Some(slot) = self.reservation.slot() {
            slot.rare().head = Some(head);
            slot.set(KEEPS_HEAD);
        }
    }

    /// What the layer noted of the request.
    pub(crate) fn note(&self) -> u8 {
        self.reservation.slot().map_or(0, |slot| slot.note.load(Relaxed))
    }

    /// What the layer kept of the request's head.
    pub(crate) fn take_head(&self) -> Option<Box<dyn Any + Send>> {
        if self.exceptions() & KEEPS_HEAD == 0 {
            return None;
        }
        self.reservation.slot()?.rare().head.take()
    }

    /// What keeps the body that the handler has dropped before its end, until the client can have read a refusal.
    pub(crate) fn keep_parked_body(&self, context: &LayerContext) -> Option<Box<dyn Any + Send>> {
        self.take_parked_body()?.keep(context, self.note())
    }

    fn take_parked_body(&self) -> Option<Pin<Box<dyn ParkedBody>>> {
        if self.exceptions() & PARKS_BODY == 0 {
            return None;
        }
        self.reservation.slot()?.rare().parked_body.take()
    }

    /// What else the layer knows.
    pub(crate) fn context(&self) -> Option<Arc<LayerContext>> {
        self.reservation.slot()?.figures.context()
    }

    #[inline(always)]
    fn exceptions(&self) -> u16 {
        self.reservation.slot().map_or(0, Slot::exceptions)
    }

    /// Ends this part of the reservation, after an inspection if one was needed.
    #[inline(always)]
    pub(crate) fn end(&mut self) {
        self.reservation = Reservation::none();
    }

    /// The response is decided. A handle must not keep a parked body, and with it a connection.
    #[cold]
    pub(crate) fn unpark(&self) {
        if let Some(slot) = self.reservation.slot().filter(|slot| slot.exceptions() & EXPOSED != 0) {
            slot.set(ANSWERED);
            if let Some(body) = self.take_parked_body() {
                slot.unpark(body);
            }
        }
    }
}

impl Drop for ResponseReservation {
    #[inline(always)]
    fn drop(&mut self) {
        if self.exceptions() & EXPOSED != 0 {
            self.unpark();
        }
    }
}
