//! Leases: how several nodes share one limit without asking anybody for each request.

mod record;
mod store;

pub use record::{NodeRecord, Record};
pub use store::{LeaseStore, Seed, SyncReply, SyncRequest, Synced};
