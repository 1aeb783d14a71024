//! Tenants' limits from a file that is watched.

mod attach;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod parse;
mod watch;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use super::Limit;
pub(super) use attach::{Configured, attach};
pub use error::{LimitsFileError, LimitsFileErrorKind};
use watch::Watched;

/// Limits as a file tells them. Needs the feature `limits-file`.
///
/// ```toml
/// default = "10 GiB"     # of all who are not named; may be left out
///
/// [tenants]
/// acme = "500 GiB"       # as `parse_size` reads it
/// trial = 0              # a number is bytes
/// internal = "unlimited"
/// "acme.example" = "1 TiB"
/// ```
///
/// Keys of other names, tenants without a name or with one of more than 256 bytes, and values of other types are errors,
/// so that a mistake does not become a limit. So is a file of no bytes; one with nothing but a comment says that nobody
/// has a limit of his own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The limit of tenants that are not named.
    pub default: Option<Limit>,
    /// The limits of those that are.
    pub tenants: BTreeMap<String, Limit>,
}

impl Limits {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than 64 MiB, or something in it is not as it should be. The error names the file,
    /// the line, the key and what helps.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LimitsFileError> {
        let path = path.as_ref();
        watch::content(path).and_then(|content| Self::parse(path, &content))
    }

    /// Reads the content of a file that is already in memory; the path is for errors.
    fn parse(path: &Path, content: &[u8]) -> Result<Self, LimitsFileError> {
        parse::parse(content).map_err(|flaw| LimitsFileError::flawed(path, flaw))
    }
}

/// Watches a file of [limits](Limits) until it is dropped. Needs the feature `limits-file`.
///
/// A thread reads the file once a second and compares what it says, not when it was changed, so that it works with files
/// that are replaced, links that are switched (as Kubernetes does with a `ConfigMap`), and file systems over a network.
/// When a change is seen, the file is read once more a moment later and must say the same: somebody may be writing it.
///
/// ```
/// use tower_storage_guard::{Limit, Limits, LimitsFile, LimitsFileError};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("limits.toml");
/// # std::fs::write(&path, "default = \"10 GiB\"\n[tenants]\ntrial = 0")?;
/// let watching = LimitsFile::watch(&path, |news: Result<&Limits, &LimitsFileError>| match news {
///     Ok(limits) => println!("{} tenants have limits of their own", limits.tenants.len()),
///     Err(error) => println!("{error}: the limits stay as they are"),
/// })?;
/// assert_eq!(watching.limits().tenants["trial"], Limit::bytes(0));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the file is watched until this is dropped"]
pub struct LimitsFile {
    watched: Arc<Mutex<Watched>>,
    path: PathBuf,
    /// The thread ends when this is gone.
    _alive: mpsc::Sender<()>,
}

impl LimitsFile {
    /// Reads the file and watches it from then on. `told` is called
    ///
    /// - with the limits that were read, before this returns;
    /// - with new limits, when the file says other ones;
    /// - with an error, when the file cannot be read any more or has a mistake in it; once for each error that is not like
    ///   the one before. The limits that it was called with last are still good;
    /// - with the limits once more when all is well again.
    ///
    /// Later calls come from the thread of this watcher, or from [`check_now`](Self::check_now); never two at a time. A
    /// panic in one is swallowed. One may be under way when this handle is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be read now or has a mistake in it, or the thread cannot be started.
    pub fn watch(
        path: impl Into<PathBuf>,
        told: impl FnMut(Result<&Limits, &LimitsFileError>) + Send + 'static,
    ) -> Result<Self, LimitsFileError> {
        let path = path.into();
        let watched = Arc::new(Mutex::new(Watched::start(&path, Box::new(told))?));
        let (alive, ended) = mpsc::channel();
        watch::start(path.clone(), watched.clone(), ended)?;
        Ok(Self {
            watched,
            path,
            _alive: alive,
        })
    }

    /// Looks at once, as on a `SIGHUP`, and takes what the file says for whole. Tells whether the limits changed; they do
    /// not when the file says what it said before. Blocks while the file is read and `told` is called, so it must not be
    /// called from there.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has a mistake in it, whether that was told before or not.
    pub fn check_now(&self) -> Result<bool, LimitsFileError> {
        let mut watched = lock(&self.watched);
        let content = watch::content(&self.path);
        watched.take_in(&self.path, content)
    }

    /// The limits that were read last without an error.
    #[must_use]
    pub fn limits(&self) -> Limits {
        lock(&self.watched).limits().clone()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for LimitsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitsFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}
