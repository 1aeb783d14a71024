//! The redb file: made, opened, checked, and opened anew after a failure.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, StorageBackend, TableDefinition, TableHandle,
    WriteTransaction, backends::FileBackend,
};

use super::{
    error,
    failure::{Failure, Foreign, guarded},
    header,
};
use crate::tenant::StoreError;

/// A tenant's record, encoded.
pub(super) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// A tenant's limit where one was set, encoded.
pub(super) const LIMITS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("limits");
/// Whose file it is.
const ABOUT: TableDefinition<'_, &str, u32> = TableDefinition::new("tower-storage-guard ledger");
const FORMAT_KEY: &str = "format";
/// The tables and what they mean.
const FORMAT: u32 = 1;

/// Pages kept in memory; redb would take a gibibyte. A tenth of it is for what a transaction has not written yet.
const CACHE: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// None after a failure: redb wants to be opened anew then.
    database: Option<Database>,
}

impl DatabaseFile {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = guarded(|| {
            if !path.try_exists()? {
                make(path)?;
            }
            let database = checked(path, |builder| builder.create(path))?;
            Ok(adopt(&database)?.map(|()| database))
        })
        .map_err(|failure| error::opening(path, failure))?
        .map_err(|foreign| error::foreign(path, foreign))?;
        Ok(Self {
            path: path.to_owned(),
            database: Some(database),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Does all of the work in one transaction, and has it on disk when it returns. The work says whether it wrote
    /// anything.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<(T, bool), Failure>,
    ) -> Result<T, StoreError> {
        self.with(|database| {
            let transaction = begin_write(database)?;
            let (result, has_written) = work(&transaction)?;
            if has_written {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(result)
        })
    }

    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.with(|database| work(&database.begin_read()?))
    }

    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, Failure>) -> Result<T, StoreError> {
        let path = &self.path;
        let database = match self.database.take() {
            Some(database) => database,
            // Not made anew: where a file has vanished, somebody should know.
            None => guarded(|| checked(path, |builder| builder.open(path)))
                .map_err(|failure| error::opening(path, failure))?,
        };
        match guarded(|| work(&database)) {
            Ok(result) => {
                self.database = Some(database);
                Ok(result)
            }
            Err(failure) => {
                put_away(database);
                Err(error::working(path, failure))
            }
        }
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            put_away(database);
        }
    }
}

/// Redb writes once more when it is closed, and a damaged file makes it panic then, too.
fn put_away(database: Database) {
    let _ = guarded(|| {
        drop(database);
        Ok(())
    });
}

/// Opens a database and reads all of it, as redb itself does after a crash only: a damaged page could hide tenants, and
/// what is not found would be taken for new.
fn checked(path: &Path, open: impl FnOnce(&Builder) -> Result<Database, DatabaseError>) -> Result<Database, Failure> {
    if !header::is_plausible(path) {
        return Err(redb::Error::Corrupted("its beginning speaks of pages that it does not have".to_owned()).into());
    }
    let has_been_read = Arc::new(AtomicBool::new(false));
    let mut builder = builder();
    let tell = has_been_read.clone();
    builder.set_repair_callback(move |_| tell.store(true, Relaxed));
    let mut database = open(&builder)?;
    if !has_been_read.load(Relaxed) {
        database.check_integrity()?;
    }
    Ok(database)
}

/// On disk when it is committed, in two phases: so the newest state is known to be whole, and if it is not, redb does not
/// go back to the one before, which lacks what was leased last.
fn begin_write(database: &Database) -> Result<WriteTransaction, Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate);
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Whether a database is one of ours; an empty one becomes it.
fn adopt(database: &Database) -> Result<Result<(), Foreign>, Failure> {
    let reading = database.begin_read()?;
    let mut tables = reading.list_tables()?;
    if tables.any(|table| table.name() == ABOUT.name()) {
        let format = reading.open_table(ABOUT)?.get(FORMAT_KEY)?.map(|format| format.value());
        return Ok(match format {
            Some(FORMAT) => Ok(()),
            Some(other) => Err(Foreign::Format(other)),
            None => Err(Foreign::Stranger),
        });
    }
    if reading.list_tables()?.next().is_some() || reading.list_multimap_tables()?.next().is_some() {
        return Ok(Err(Foreign::Stranger));
    }
    let transaction = begin_write(database)?;
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(LIMITS)?;
    transaction.commit()?;
    Ok(Ok(()))
}

/// Makes the file under another name first, so that a crash on the way leaves nothing at `path`. Whoever else does the
/// same at the same time has an error or finds the same file.
fn make(path: &Path) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&draft)?;
    // Locks it; only now is what an earlier attempt left known to be nobody's.
    let backend = FileBackend::new(file)?;
    backend.set_len(0)?;
    adopt(&builder().create_with_backend(backend)?)?.ok();
    // Never replaces a file. Where links are unknown, the file is made in place instead.
    let _ = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    sync_directory(path)
}

/// A file's name is in its directory, which has to reach the disk, too.
fn sync_directory(path: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        fs::File::open(directory)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    // Later versions of redb read no older one.
    builder.set_cache_size(CACHE).create_with_file_format_v3(true);
    builder
}
