//! Numbers only: what a resource holds, what a request wants, and whether it fits.
//!
//! Nothing here knows of I/O, HTTP, async or a clock. Times arrive as [`Duration`](std::time::Duration)s since an origin
//! of the caller's choice.

mod account;
mod build_error;
mod charge;
mod chunks;
mod demand;
mod event;
mod floor;
mod free_stack;
mod reading;
mod reconcile;
mod refusal;
mod size;
mod state;
mod visibility;
mod write_buffer;

#[cfg(storage_guard_loom)]
pub(crate) mod models;
#[cfg(test)]
mod simulation;

pub(crate) use account::Account;
pub use build_error::{BuildError, BuildErrorKind};
pub(crate) use charge::Tariff;
pub use charge::{Charge, SizeModel};
pub(crate) use chunks::Chunks;
pub(crate) use demand::{Demand, Priority};
pub(crate) use event::notify;
pub use event::{Event, Observer};
pub use floor::Floor;
pub(crate) use free_stack::{FreeStack, Link};
pub use reading::{Inodes, Reading};
pub(crate) use reconcile::Reconciler;
pub(crate) use refusal::RefusalParts;
pub use refusal::{Reason, Refusal};
pub use size::{ParseSizeError, format_size, parse_size};
pub use state::State;
pub(crate) use state::{Bands, StateMachine};
pub(crate) use visibility::Visibility;
pub(crate) use write_buffer::Closing;
pub use write_buffer::WriteBuffer;
