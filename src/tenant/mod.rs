//! Who owns bytes: limits, and the ledgers that keep what each tenant has stored and reserved.

mod accounts;
mod balance;
mod builder;
mod denied;
mod entry;
mod error;
mod grant;
mod inner;
mod lease;
mod ledger;
mod limit;
mod limit_book;
#[cfg(feature = "limits-file")]
mod limits_file;
#[cfg(storage_guard_loom)]
pub(crate) mod models;
mod name;
mod scan;
mod table;
mod usage;

use self::accounts::Accounts;
pub use builder::LedgerBuilder;
pub use denied::{Denied, DeniedKind};
pub(crate) use entry::EntryRef;
pub use error::{StoreError, StoreErrorKind};
pub use grant::{Grant, Reserving};
pub(crate) use inner::{Attempt, LedgerInner};
#[cfg(feature = "redb")]
pub use lease::FileStore;
pub(crate) use lease::Waiter;
#[cfg(all(fuzzing, feature = "redb"))]
pub use lease::file_fuzz;
#[cfg(all(fuzzing, feature = "redis"))]
pub use lease::redis_fuzz;
pub use lease::{
    LeaseStore, Leasing, MeasureUsage, MissingRecord, NodeRecord, Record, Seed, SyncReply, SyncRequest, Synced,
    Unreachable,
};
#[cfg(feature = "redis")]
pub use lease::{RedisStore, RedisStoreBuilder};
pub use ledger::{Ledger, LedgerReport, StoreReport};
pub use limit::Limit;
#[cfg(all(fuzzing, feature = "limits-file"))]
pub use limits_file::fuzz as limits_fuzz;
#[cfg(feature = "limits-file")]
pub use limits_file::{Limits, LimitsFile, LimitsFileError, LimitsFileErrorKind};
pub(crate) use name::is_name;
pub use scan::{Scan, Scanning};
pub use usage::Usage;
