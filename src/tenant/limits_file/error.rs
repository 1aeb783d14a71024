use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a limits file is not what it should be: the file, the line, the key, and what helps.
#[derive(Clone, Debug)]
pub struct LimitsFileError {
    kind: LimitsFileErrorKind,
    path: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    message: String,
    source: Option<Arc<io::Error>>,
}

/// The kinds of mistake in a limits file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitsFileErrorKind {
    /// It cannot be read; the source tells why.
    Io,
    /// It is no TOML, which includes keys that occur twice.
    Syntax,
    /// A key is not known, or a value is not one that it can have.
    Invalid,
}

/// A mistake, where it is, and what helps.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) kind: LimitsFileErrorKind,
    pub(super) line: usize,
    pub(super) key: Option<String>,
    pub(super) message: String,
}

impl LimitsFileError {
    pub(super) fn io(path: &Path, doing: &str, error: io::Error) -> Self {
        Self {
            kind: LimitsFileErrorKind::Io,
            path: path.to_owned(),
            line: None,
            key: None,
            message: format!("{doing} it: see to it that it exists and that this process may read it"),
            source: Some(Arc::new(error)),
        }
    }

    pub(super) fn flawed(path: &Path, flaw: Flaw) -> Self {
        Self {
            kind: flaw.kind,
            path: path.to_owned(),
            line: Some(flaw.line),
            key: flaw.key,
            message: flaw.message,
            source: None,
        }
    }

    /// Whether it would be the same news.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let told = |error: &Self| (error.to_string(), error.source.as_ref().map(ToString::to_string));
        told(self) == told(other)
    }

    /// What kind of mistake it is.
    #[must_use]
    pub const fn kind(&self) -> LimitsFileErrorKind {
        self.kind
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line, counted from 1, where it is known.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The key, with that of its table before a dot, where it is known.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for LimitsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits file `{}`", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", key `{key}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for LimitsFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
