//! Settings from a file, read again on SIGHUP.

use std::{collections::HashMap, fs, ops::Range, path::PathBuf};

use toml::{Spanned, Value};
use tower_storage_guard::{Config, Ledger, Limit, LiveSettings, Settings};

use crate::options::OptionError;

/// A file, and what it changes.
pub(crate) struct SettingsFile {
    path: PathBuf,
    live: LiveSettings,
    /// What the command line says: a line that is taken out of the file counts no longer.
    built: Settings,
    tenants: TenantLimit,
}

/// What becomes of the key `tenant_limit`, which the library does not know.
pub(crate) enum TenantLimit {
    /// There are no tenants.
    Useless,
    /// Limits come from a file of their own.
    Elsewhere,
    /// It counts before this one, which the command line says.
    InsteadOf(Limit, Ledger),
}

const TENANT_LIMIT: &str = "tenant_limit";

impl SettingsFile {
    /// Reads it for the first time.
    pub(crate) fn open(path: PathBuf, live: LiveSettings, tenants: TenantLimit) -> Result<Self, OptionError> {
        let built = live.current();
        let file = Self {
            path,
            live,
            built,
            tenants,
        };
        match file.read() {
            Ok(()) => Ok(file),
            Err(flaw) => Err(OptionError::unusable_file(&flaw)),
        }
    }

    /// Reads it again whenever it is told to; what is wrong with it changes nothing.
    #[cfg(unix)]
    pub(crate) async fn follow(self) {
        use tokio::signal::unix::{SignalKind, signal};

        let Ok(mut signals) = signal(SignalKind::hangup()) else {
            return;
        };
        while signals.recv().await.is_some() {
            match self.read() {
                Ok(()) => tracing::info!(file = %self.path.display(), "the settings were read again"),
                Err(flaw) => tracing::error!("the settings stay as they were: {flaw}"),
            }
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn follow(self) {}

    fn read(&self) -> Result<(), String> {
        let path = self.path.display();
        let mut text = fs::read_to_string(&self.path).map_err(|error| format!("{path}: {error}"))?;
        let limit = self.take_tenant_limit(&mut text)?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
            format!("{path}:{line}:{column}: {}", error.message().replace('\n', "; "))
        })?;
        let settings = config
            .applied_to(self.built.clone())
            .map_err(|error| format!("{path}: {error}"))?;
        self.live.apply(&settings).map_err(|error| format!("{path}: {error}"))?;
        if let TenantLimit::InsteadOf(built, ledger) = &self.tenants {
            ledger.set_default_limit(limit.unwrap_or(*built));
        }
        Ok(())
    }

    /// Takes our own key out of the text, so that all other places in it stay where they are.
    fn take_tenant_limit(&self, text: &mut String) -> Result<Option<Limit>, String> {
        // What is no TOML at all is told of by who reads the rest.
        let keys: HashMap<Spanned<String>, Spanned<Value>> = toml::from_str(text).unwrap_or_default();
        let found = keys.iter().find(|(key, _)| key.get_ref() == TENANT_LIMIT);
        let Some((key, value)) = found else { return Ok(None) };
        let flawed = |at: Range<usize>, flaw: &str| {
            let (line, column) = place(text, at.start);
            format!("{}:{line}:{column}: {TENANT_LIMIT}: {flaw}", self.path.display())
        };
        match self.tenants {
            TenantLimit::Useless => {
                let flaw = "means nothing without tenants; take it out, or add --tenant-header X-Tenant";
                return Err(flawed(key.span(), flaw));
            }
            TenantLimit::Elsewhere => {
                let flaw = "limits come from the file of --tenant-limits; say `default` there";
                return Err(flawed(key.span(), flaw));
            }
            TenantLimit::InsteadOf(..) => {}
        }
        let limit = match value.get_ref() {
            Value::String(size) => size
                .parse()
                .map_err(|error: tower_storage_guard::ParseSizeError| flawed(value.span(), &format!("{error}")))?,
            Value::Integer(bytes) if *bytes >= 0 => Limit::bytes(bytes.unsigned_abs()),
            _ => {
                let flaw = "is not a size; write one such as \"1GiB\", a number of bytes, or \"unlimited\"";
                return Err(flawed(value.span(), flaw));
            }
        };
        let blank = " ".repeat(value.span().end - key.span().start);
        text.replace_range(key.span().start..value.span().end, &blank);
        Ok(Some(limit))
    }
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
