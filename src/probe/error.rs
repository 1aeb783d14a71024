use std::{error::Error, fmt, io, path::Path, time::Duration};

use crate::BoxError;

/// Why a resource could not be measured.
#[derive(Debug)]
pub struct ProbeError {
    kind: ProbeErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// The kinds of failure of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeErrorKind {
    /// The path does not exist.
    NotFound,
    /// The path was expected to be a mount point and is not: the volume is not mounted.
    NotMounted,
    /// Another file system than at first is mounted there.
    FileSystemChanged,
    /// The operating system refused to tell.
    Io,
    /// A file holds something else than it should.
    Malformed,
    /// The control group of this process lies outside of what is mounted.
    HiddenGroup,
    /// A setting of the probe is out of range.
    InvalidSetting,
    /// The probe panicked.
    Panicked,
    /// The probe did not answer in time.
    TimedOut,
    /// Nothing was published yet.
    NothingPublished,
    /// An error of a probe that is not ours.
    Custom,
}

impl ProbeError {
    /// An error of a probe of your own. One that is a `ProbeError` already stays as it is.
    #[must_use]
    pub fn custom(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(error) => Self {
                kind: ProbeErrorKind::Custom,
                message: "the probe failed".to_owned(),
                source: Some(error),
            },
        }
    }

    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::with_source(format!("cannot measure the disk at `{}`", path.display()), error)
    }

    #[cfg(feature = "memory")]
    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        Self::with_source(format!("cannot read `{}`", path.display()), error)
    }

    #[cfg(feature = "memory")]
    pub(crate) fn malformed(path: &Path, what: &str) -> Self {
        Self::plain(
            ProbeErrorKind::Malformed,
            format!("`{}` is malformed: {what}", path.display()),
        )
    }

    /// The system offers no figures.
    #[cfg(feature = "memory")]
    pub(crate) fn untold(message: &str) -> Self {
        Self::plain(ProbeErrorKind::Io, message.to_owned())
    }

    #[cfg(feature = "memory")]
    pub(crate) fn hidden_group(mounts: &Path) -> Self {
        Self::plain(
            ProbeErrorKind::HiddenGroup,
            format!(
                "no mount in `{}` shows the control group of this process, so its limits are unknown: mount the cgroup \
                 file system inside the namespace, or measure the process alone against a budget",
                mounts.display()
            ),
        )
    }

    #[cfg(feature = "memory")]
    pub(crate) fn invalid_setting(setting: &str, value: &str, remedy: &str) -> Self {
        Self::plain(ProbeErrorKind::InvalidSetting, format!("{setting} = {value}: {remedy}"))
    }

    pub(crate) fn not_mounted(path: &Path) -> Self {
        Self::plain(
            ProbeErrorKind::NotMounted,
            format!("`{}` is not a mount point: the volume is not mounted", path.display()),
        )
    }

    pub(crate) fn file_system_changed(path: &Path) -> Self {
        Self::plain(
            ProbeErrorKind::FileSystemChanged,
            format!("another file system than at first is at `{}`", path.display()),
        )
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let words = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Self::plain(ProbeErrorKind::Panicked, format!("the probe panicked: {words}"))
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::plain(
            ProbeErrorKind::TimedOut,
            format!("the probe did not answer within {limit:?}"),
        )
    }

    pub(crate) fn nothing_published() -> Self {
        Self::plain(
            ProbeErrorKind::NothingPublished,
            "no reading was published yet".to_owned(),
        )
    }

    fn with_source(message: String, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ProbeErrorKind::NotFound,
            _ => ProbeErrorKind::Io,
        };
        Self {
            kind,
            message,
            source: Some(error.into()),
        }
    }

    fn plain(kind: ProbeErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> ProbeErrorKind {
        self.kind
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ProbeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
