use std::{error::Error, fmt, io, path::Path};

use crate::{BoxError, ProbeError};

/// Why a [`Ballast`](super::Ballast) could not be put in place or released.
#[derive(Debug)]
pub struct BallastError {
    kind: BallastErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// The kinds of failure of a ballast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BallastErrorKind {
    /// A setting is out of range.
    InvalidSetting,
    /// Something else than a ballast file is at the path. It was not touched.
    Foreign,
    /// The file system, or this operating system, cannot set room aside for a file.
    Unsupported,
    /// The file system claims to have set room aside, but the file does not own the blocks: a compressing or
    /// copy-on-write file system may only pretend.
    NotAllocated,
    /// There is not enough room, or a quota forbids it.
    NoRoom,
    /// Anything else the operating system says.
    Io,
}

impl BallastError {
    pub(super) fn too_small(size: u64, least: u64) -> Self {
        let message = format!("size = {size}: give at least {least} bytes");
        Self::plain(BallastErrorKind::InvalidSetting, message)
    }

    pub(super) fn foreign(path: &Path) -> Self {
        let message = format!(
            "`{}` is no ballast file and was left as it is: choose another path, or remove it if nobody needs it",
            path.display()
        );
        Self::plain(BallastErrorKind::Foreign, message)
    }

    pub(super) fn not_allocated(path: &Path, allocated: u64, size: u64) -> Self {
        let message = format!(
            "the file system does not set room aside: `{}` owns {allocated} of {size} bytes",
            path.display()
        );
        Self::plain(BallastErrorKind::NotAllocated, message)
    }

    pub(super) fn io(doing: &str, path: &Path, error: io::Error) -> Self {
        let (kind, why) = match error.kind() {
            io::ErrorKind::Unsupported => (
                BallastErrorKind::Unsupported,
                ": room cannot be set aside on this file system",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (BallastErrorKind::NoRoom, ": no room"),
            _ => (BallastErrorKind::Io, ""),
        };
        Self {
            kind,
            message: format!("cannot {doing} the ballast file `{}`{why}", path.display()),
            source: Some(error.into()),
        }
    }

    pub(super) fn no_room(path: &Path, wanted: u64, available: u64) -> Self {
        let message = format!(
            "no room for the ballast file `{}`: {wanted} bytes wanted, {available} available",
            path.display()
        );
        Self::plain(BallastErrorKind::NoRoom, message)
    }

    pub(super) fn unmeasured(path: &Path, error: ProbeError) -> Self {
        Self {
            kind: BallastErrorKind::Io,
            message: format!(
                "it is unknown whether there is room for the ballast file `{}`",
                path.display()
            ),
            source: Some(error.into()),
        }
    }

    fn plain(kind: BallastErrorKind, message: String) -> Self {
        Self {
            kind,
            message,
            source: None,
        }
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> BallastErrorKind {
        self.kind
    }
}

impl fmt::Display for BallastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for BallastError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
