//! Who owns bytes: limits, and the ledgers that keep what each tenant has stored and reserved.

mod error;
mod lease;
mod limit;

pub use error::{StoreError, StoreErrorKind};
pub use lease::{LeaseStore, NodeRecord, Record, Seed, SyncReply, SyncRequest, Synced};
pub use limit::Limit;
