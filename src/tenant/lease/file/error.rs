//! What goes wrong with the file, in words for an operator.

use std::{io, path::Path};

use super::{
    codec::Flaw,
    failure::{Failure, Foreign},
};
use crate::tenant::{StoreError, StoreErrorKind};

pub(super) fn opening(path: &Path, failure: Failure) -> StoreError {
    let Failure::Error(error) = failure else {
        return general("open", path, failure);
    };
    match *error {
        redb::Error::DatabaseAlreadyOpen => StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the ledger file `{}` is in use: one process at a time can open it, and only once; stop the other one, \
                 or give each a file of its own",
                path.display()
            ),
        ),
        // The first bytes are not those of any database of redb.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => no_ledger(path),
        redb::Error::Io(error) if needs_somebody(&error) => {
            let message = format!(
                "cannot open the ledger file `{}`: it must be a file, in a directory that exists, which this process \
                 may read and write",
                path.display()
            );
            StoreError::new(StoreErrorKind::Rejected, message).with_source(error)
        }
        redb::Error::UpgradeRequired(version) => other_version(path, &format!("redb {version}")),
        error => general("open", path, error.into()),
    }
}

pub(super) fn working(path: &Path, failure: Failure) -> StoreError {
    general("work with", path, failure)
}

pub(super) fn foreign(path: &Path, foreign: Foreign) -> StoreError {
    match foreign {
        Foreign::Stranger => no_ledger(path),
        Foreign::Format(format) => other_version(path, &format.to_string()),
    }
}

/// What is written for one tenant is not readable; the others are not concerned.
pub(super) fn flawed(path: &Path, tenant: &str, flaw: Flaw) -> String {
    format!(
        "what the ledger file `{}` holds of tenant `{tenant}` is damaged: {flaw}; it was left as it is, and \
         `FileStore::forget` takes it away, so that a measurement can take its place",
        path.display()
    )
}

fn general(doing: &str, path: &Path, failure: Failure) -> StoreError {
    let error = match failure {
        Failure::Error(error) => *error,
        Failure::Panicked(words) => return damaged(path).with_source(words),
    };
    let unavailable = |why: &str| {
        let message = format!("cannot {doing} the ledger file `{}`{why}", path.display());
        StoreError::new(StoreErrorKind::Unavailable, message)
    };
    match error {
        // It speaks of pages that are not there.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(path).with_source(error),
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => unavailable(": no room on its disk"),
            _ => unavailable(""),
        }
        .with_source(error),
        error @ (redb::Error::PreviousIo | redb::Error::LockPoisoned(_)) => unavailable("").with_source(error),
        error => damaged(path).with_source(error),
    }
}

fn damaged(path: &Path) -> StoreError {
    let message = format!(
        "the ledger file `{}` is damaged: put a copy in its place, or move it away and let measurements make a new one",
        path.display()
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

fn no_ledger(path: &Path) -> StoreError {
    let message = format!(
        "`{}` is no ledger file and was left as it is: choose another path, or remove it if nobody needs it",
        path.display()
    );
    StoreError::new(StoreErrorKind::Rejected, message)
}

fn other_version(path: &Path, version: &str) -> StoreError {
    let message = format!(
        "the ledger file `{}` has format {version}, which this version of tower-storage-guard does not know: it was left \
         as it is; run the version that made it, or choose another path",
        path.display()
    );
    StoreError::new(StoreErrorKind::Rejected, message)
}

/// Trying again does not help.
fn needs_somebody(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        InvalidInput | IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use StoreErrorKind::{Corrupt, Rejected, Unavailable};
    use io::ErrorKind as Kind;

    use super::*;

    fn io_error(kind: io::ErrorKind) -> Failure {
        io::Error::from(kind).into()
    }

    #[test]
    fn what_is_no_file_of_ours_what_somebody_has_to_see_to_and_what_may_go_by() {
        for (kind, expected, words) in [
            (Kind::InvalidData, Rejected, "is no ledger file"),
            (Kind::NotFound, Rejected, "cannot open"),
            (Kind::IsADirectory, Rejected, "cannot open"),
            (Kind::PermissionDenied, Rejected, "cannot open"),
            (Kind::ReadOnlyFilesystem, Rejected, "cannot open"),
            (Kind::UnexpectedEof, Corrupt, "is damaged"),
            (Kind::StorageFull, Unavailable, "no room on its disk"),
            (Kind::QuotaExceeded, Unavailable, "no room on its disk"),
            (Kind::TimedOut, Unavailable, "cannot open the ledger file `f`"),
        ] {
            let error = opening(Path::new("f"), io_error(kind));
            assert_eq!(error.kind(), expected, "{kind:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn while_it_is_worked_with_a_full_disk_is_told_apart_from_a_damaged_file() {
        for (failure, expected, words) in [
            (
                io_error(Kind::StorageFull),
                Unavailable,
                "cannot work with the ledger file `f`: no room on its disk",
            ),
            (
                io_error(Kind::TimedOut),
                Unavailable,
                "cannot work with the ledger file `f`",
            ),
            (redb::Error::PreviousIo.into(), Unavailable, "cannot work with"),
            (io_error(Kind::UnexpectedEof), Corrupt, "is damaged"),
            (
                redb::Error::Corrupted("a page".to_owned()).into(),
                Corrupt,
                "is damaged",
            ),
            (Failure::Panicked("a page".to_owned()), Corrupt, "is damaged"),
        ] {
            let error = working(Path::new("f"), failure);
            assert_eq!(error.kind(), expected, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(
                error.to_string().contains("no room"),
                words.contains("no room"),
                "{error}"
            );
            assert!(std::error::Error::source(&error).is_some(), "{error}");
        }
    }
}
