//! Settings from a file, read again on SIGHUP.

use std::{fs, path::PathBuf};

use tower_storage_guard::{Config, LiveSettings, Settings};

use crate::options::OptionError;

/// A file, and what it changes.
pub(crate) struct SettingsFile {
    path: PathBuf,
    live: LiveSettings,
    /// What the command line says: a line that is taken out of the file counts no longer.
    built: Settings,
}

impl SettingsFile {
    /// Reads it for the first time.
    pub(crate) fn open(path: PathBuf, live: LiveSettings) -> Result<Self, OptionError> {
        let built = live.current();
        let file = Self { path, live, built };
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
        let text = fs::read_to_string(&self.path).map_err(|error| format!("{path}: {error}"))?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
            format!("{path}:{line}:{column}: {}", error.message().replace('\n', "; "))
        })?;
        let settings = config
            .applied_to(self.built.clone())
            .map_err(|error| format!("{path}: {error}"))?;
        self.live.apply(&settings).map_err(|error| format!("{path}: {error}"))
    }
}

/// Line and column of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
