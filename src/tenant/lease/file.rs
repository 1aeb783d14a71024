//! The embedded store: a file of this process.

mod codec;
mod database;
mod error;
mod failure;
#[cfg(fuzzing)]
pub mod fuzz;
mod header;

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use redb::ReadableTable;

use super::{LeaseStore, Record, SyncReply, SyncRequest};
use crate::tenant::{Limit, StoreError, StoreErrorKind};
use database::{DatabaseFile, LIMITS, RECORDS};

/// A [`LeaseStore`] in a file of this process, so that what tenants have stored outlives a restart. Needs the feature
/// `redb`.
///
/// ```
/// use tower_storage_guard::{FileStore, Leasing, Ledger, Limit};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("ledger");
/// // Makes the file if there is none.
/// let store = FileStore::open(&path)?;
/// let quotas = Ledger::builder().default_limit(Limit::bytes(1 << 30)).leasing(Leasing::alone(store)).build()?;
/// # let _ = quotas;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # When the process or the machine stops
///
/// A call to [`sync`](LeaseStore::sync) is one transaction, and it is on disk before the call returns. So the file knows
/// of every lease before a byte of it can be spent: after a crash it counts too much by at most what was leased, and
/// never too little. The next [`open`](Self::open) begins with the last whole transaction, and reads the whole file to be
/// sure that it is whole: half a second for a million tenants where the disk is not what takes longer.
///
/// # Where to put it
///
/// On a local disk that keeps what `fsync` promises, and that has room when the disk of the uploads has none: on another
/// one, or on the same one if its guard keeps a [`Floor`](crate::Floor) of at least twice the file's size free. The file
/// takes 3 MiB when it is new, 80 MiB for 100,000 tenants and 320 MiB for a million, and never shrinks; while it is open,
/// 64 MiB of it are kept in memory. Where nothing can be written, calls fail with [`StoreErrorKind::Unavailable`] and
/// nothing of them is applied; leases that were granted stay good. The first call after there is room again goes through.
///
/// Whoever copies the file should do so while no process has it open.
///
/// # One process
///
/// The file is locked while it is open. Several processes, or several machines, need an engine that they can share.
pub struct FileStore {
    file: DatabaseFile,
    clock: Box<dyn Fn() -> Duration + Send>,
}

impl FileStore {
    /// Opens the ledger file at `path`, or makes it if there is none; its directory must exist. A file that is being made
    /// is called `path` with `.new` at the end.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`] when another process has the file open (or this one, a second time), there is no
    ///   room, or the disk fails.
    /// - [`StoreErrorKind::Rejected`] when something else is at the path, the file was made by a newer version of this
    ///   library, or this process may not read and write it.
    /// - [`StoreErrorKind::Corrupt`] when the file is damaged.
    ///
    /// All of them name the path. A damaged file can make redb panic; that panic is caught and becomes such an error, but
    /// the panic hook is called, and with `panic = "abort"` it ends the process.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Ok(Self {
            file: DatabaseFile::open(path.as_ref())?,
            clock: Box::new(since_the_epoch),
        })
    }

    /// Takes the time, as a duration since an origin of its own, from somewhere else than the system's clock.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Duration + Send + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// What is on record of a tenant. `None` is not the same as nothing stored.
    ///
    /// # Errors
    ///
    /// As [`sync`](LeaseStore::sync), and [`StoreErrorKind::Corrupt`] when this tenant's record is damaged.
    pub fn record(&mut self, tenant: &str) -> Result<Option<Record>, StoreError> {
        let key = tenant.as_bytes();
        let found = self.file.read(|transaction| {
            let records = transaction.open_table(RECORDS)?;
            let found = records.get(key)?;
            Ok(found.map(|bytes| codec::decode_record(key, bytes.value())).transpose())
        })?;
        found.map_err(|flaw| StoreError::new(StoreErrorKind::Corrupt, error::flawed(self.file.path(), tenant, flaw)))
    }

    /// Takes away what is on record of a tenant, and the limit that was set for it, readable or not. Its next request
    /// makes a new record from its [`Seed`](crate::Seed).
    ///
    /// # Errors
    ///
    /// As [`sync`](LeaseStore::sync).
    pub fn forget(&mut self, tenant: &str) -> Result<(), StoreError> {
        let key = tenant.as_bytes();
        self.file.write(|transaction| {
            let had_record = transaction.open_table(RECORDS)?.remove(key)?.is_some();
            let had_limit = transaction.open_table(LIMITS)?.remove(key)?.is_some();
            Ok(((), had_record || had_limit))
        })
    }
}

impl LeaseStore for FileStore {
    /// All requests, or none of them, are on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] when nothing can be written, [`StoreErrorKind::Corrupt`] when the file as a whole
    /// is damaged. Where only a tenant's record is, that is the [reply](SyncReply::Failed) to its requests.
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        let now = (self.clock)();
        let path = self.file.path().to_owned();
        self.file.write(|transaction| {
            let mut records = transaction.open_table(RECORDS)?;
            let limits = transaction.open_table(LIMITS)?;
            // Neighbours in the file share pages. Requests of one tenant stay in their order.
            let mut order: Vec<_> = requests.iter().enumerate().collect();
            order.sort_by_key(|(_, request)| &request.tenant);
            let mut replies = Vec::with_capacity(requests.len());
            let mut has_written = false;
            for (place, request) in order {
                let key = request.tenant.as_bytes();
                let stored = records.get(key)?;
                let record = stored.as_ref().map(|bytes| codec::decode_record(key, bytes.value()));
                let limit = limits.get(key)?.map(|bytes| codec::decode_limit(key, bytes.value()));
                let (mut record, limit) = match (record.transpose(), limit.transpose()) {
                    (Ok(record), Ok(limit)) => (record, limit),
                    (Err(flaw), _) | (_, Err(flaw)) => {
                        let reason = error::flawed(&path, &request.tenant, flaw).into();
                        let kind = StoreErrorKind::Corrupt;
                        replies.push((place, SyncReply::Failed { kind, reason }));
                        continue;
                    }
                };
                replies.push((place, Record::sync(&mut record, limit, request, now)));
                let Some(record) = record else { continue };
                let encoded = codec::encode_record(key, &record);
                if stored.is_none_or(|bytes| bytes.value() != encoded) {
                    records.insert(key, encoded.as_slice())?;
                    has_written = true;
                }
            }
            replies.sort_unstable_by_key(|(place, _)| *place);
            Ok((replies.into_iter().map(|(_, reply)| reply).collect(), has_written))
        })
    }

    fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        let key = tenant.as_bytes();
        self.file.write(|transaction| {
            let mut limits = transaction.open_table(LIMITS)?;
            let had_one = match limit {
                Some(limit) => limits
                    .insert(key, codec::encode_limit(key, limit).as_slice())?
                    .is_some(),
                None => limits.remove(key)?.is_some(),
            };
            Ok(((), had_one || limit.is_some()))
        })
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn since_the_epoch() -> Duration {
    // A clock before 1970 is a clock that was not set.
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
