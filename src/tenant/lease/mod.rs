//! Leases: how several nodes share one limit without asking anybody for each request.

mod deadlines;
mod exchange;
#[cfg(feature = "redb")]
mod file;
mod health;
mod keeper;
#[expect(clippy::module_inception, reason = "the thing itself, beside what deals with it")]
mod lease;
mod leasing;
#[cfg(storage_guard_loom)]
pub(crate) mod models;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod store;
mod threads;
mod waiter;

#[cfg(all(fuzzing, feature = "redis"))]
pub use self::redis::fuzz as redis_fuzz;
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "redb")]
pub use file::FileStore;
#[cfg(all(fuzzing, feature = "redb"))]
pub use file::fuzz as file_fuzz;
pub(super) use keeper::Keeper;
pub(super) use lease::LeaseCell;
pub use leasing::Leasing;
pub use record::{NodeRecord, Record};
pub(super) use settings::LeaseSettings;
pub use settings::{MeasureUsage, MissingRecord, Unreachable};
pub use store::{LeaseStore, Seed, SyncReply, SyncRequest, Synced};
pub(super) use threads::Threads;
pub(crate) use waiter::Waiter;
