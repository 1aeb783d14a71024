//! Where it is kept what tenants have stored.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tokio::task::block_in_place;
use tower_storage_guard::{
    BuildErrorKind, FileStore, Leasing, Ledger, Limit, RedisStore, StoreError, StoreErrorKind, TracingObserver,
};

use crate::options::{OptionError, TenantOptions};

/// What `--ledger` says.
#[derive(Default)]
pub(crate) enum Place {
    #[default]
    Memory,
    File(PathBuf),
    Redis(String),
}

impl Place {
    pub(crate) fn parse(name: &str, value: &str) -> Result<Self, OptionError> {
        let remedy = "give memory, file:PATH or redis://HOST:PORT/";
        match value.split_once(':') {
            None if value == "memory" => Ok(Self::Memory),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("redis" | "rediss" | "unix", _)) => Ok(Self::Redis(value.to_owned())),
            _ => Err(OptionError::bad(name, Shown(value), "is not a ledger", remedy)),
        }
    }

    /// Whether other servers can have the same.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}

/// Opens the ledger. A Redis that is not there is none of the user's mistakes: it may come.
pub(crate) fn open(options: &TenantOptions, dir: &Path, log: &TracingObserver) -> Result<Ledger, OptionError> {
    let mut ledger = Ledger::builder()
        .name("tenants")
        .default_limit(options.limit.unwrap_or(Limit::UNLIMITED))
        .observer(log.clone());
    if let Some(file) = &options.limits_file {
        ledger = ledger.limits_file(file);
    }
    match &options.ledger {
        Place::Memory => {}
        Place::File(path) => {
            let store = FileStore::open(path).map_err(|error| unusable_file(path, &error))?;
            ledger = ledger.leasing(Leasing::alone(store));
        }
        Place::Redis(url) => {
            let mut store = RedisStore::new(url).map_err(|error| {
                let remedy = "give a URL such as redis://127.0.0.1:6379/";
                OptionError::bad("--ledger", Shown(url), format!("cannot be used: {error}"), remedy)
            })?;
            if let Err(error) = block_in_place(|| store.connect()) {
                tell(&error);
            }
            let node = options.node.clone().unwrap_or_else(|| node_name(dir));
            let mut leasing = Leasing::new(store).node(node);
            if let Some(chunk) = options.lease_chunk {
                leasing = leasing.chunk(chunk);
            }
            ledger = ledger.leasing(leasing);
        }
    }
    ledger.build().map_err(|error| match error.kind() {
        BuildErrorKind::LimitsFile => OptionError::unusable_limits(&error),
        _ => OptionError::rejected(&error),
    })
}

fn tell(error: &StoreError) {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    if error.kind() == StoreErrorKind::Unavailable {
        tracing::warn!("uploads are refused until the ledger is there: {error}{cause}");
    } else {
        tracing::error!("UPLOADS ARE REFUSED until the ledger is set up as it must be: {error}{cause}");
    }
}

/// The error has a remedy of its own.
fn unusable_file(path: &Path, error: &StoreError) -> OptionError {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    OptionError::unusable_ledger(&format!("file:{}", path.display()), &format!("{error}{cause}"))
}

/// The same after a restart, another for each directory on each machine.
fn node_name(dir: &Path) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host
        .or_else(|| env::var("HOSTNAME").ok())
        .or_else(|| env::var("COMPUTERNAME").ok())
        .unwrap_or_else(|| "localhost".to_owned());
    // It exists by now.
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name = format!("{}:{}", host.trim(), dir.display());
    if name.len() <= 200 {
        name
    } else {
        let digest = Sha256::digest(name.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A URL without user and password.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://…@{host}"),
            _ => f.write_str(self.0),
        }
    }
}
