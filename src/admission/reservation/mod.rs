//! What an admitted request holds, from its admission to its end.

mod accounting;
mod begin;
mod body;
mod holder;
mod kept;
#[cfg(storage_guard_loom)]
pub(crate) mod models;
mod response;
mod slot;

pub(crate) use body::{BodyReservation, Growth};
pub use holder::Reservation;
pub(crate) use response::ResponseReservation;
pub(crate) use slot::{LayerContext, ParkedBody, Shortage};
pub(super) use {begin::split, slot::OwnedContext};
