use std::{error::Error, io};

use crate::capacity::Reason;

/// The storage said that it is full (`ENOSPC`), over quota (`EDQUOT`), read-only or that a file is too large (`EFBIG`),
/// although the request had been admitted.
///
/// A handler that turns an I/O error into a response puts it into the response's extensions; the guard then answers in
/// its place, as it would have before, and admits nothing until the next reading. Errors that the inner service returns
/// as such (an [`io::Error`] or a boxed error) are recognised without that.
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_storage_guard::StorageFailure;
///
/// fn failed(error: std::io::Error) -> Response<String> {
///     let mut response = Response::new(error.to_string());
///     *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
///     if let Some(failure) = StorageFailure::from_error(&error) {
///         response.extensions_mut().insert(failure);
///     }
///     response
/// }
/// # assert!(failed(std::io::ErrorKind::StorageFull.into()).extensions().get::<StorageFailure>().is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageFailure {
    reason: Reason,
}

/// Errors wrapped deeper than this are not looked for; a chain could be a circle.
const DEEPEST: usize = 32;

impl StorageFailure {
    /// Looks for such a failure in an error and what caused it.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |error| next(*error))
            .take(DEEPEST)
            .find_map(|error| reason(error.downcast_ref::<io::Error>()?.kind()))
            .map(|reason| Self { reason })
    }

    /// What the client is told.
    #[must_use]
    pub const fn reason(self) -> Reason {
        self.reason
    }
}

/// An [`io::Error`] around another error skips that one in `source`.
fn next<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped as _),
        None => error.source(),
    }
}

fn reason(kind: io::ErrorKind) -> Option<Reason> {
    match kind {
        io::ErrorKind::StorageFull => Some(Reason::Space),
        io::ErrorKind::QuotaExceeded => Some(Reason::Quota),
        io::ErrorKind::FileTooLarge => Some(Reason::ExceedsCapacity),
        io::ErrorKind::ReadOnlyFilesystem => Some(Reason::ReadOnly),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_it_however_deep_it_is_wrapped() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(StorageFailure::from_error(&full).is_some());
        let wrapped = io::Error::other(io::Error::other(full));
        let failure = StorageFailure::from_error(&wrapped).expect("two layers down");
        assert_eq!(failure.reason(), Reason::Space);
    }

    #[cfg(unix)]
    #[test]
    fn knows_the_numbers_of_the_system() {
        use rustix::io::Errno;
        for (errno, reason) in [
            (Errno::NOSPC, Reason::Space),
            (Errno::DQUOT, Reason::Quota),
            (Errno::FBIG, Reason::ExceedsCapacity),
            (Errno::ROFS, Reason::ReadOnly),
        ] {
            let failure = StorageFailure::from_error(&io::Error::from(errno)).expect("known");
            assert_eq!(failure.reason(), reason);
        }
    }

    #[test]
    fn other_errors_are_none_of_our_business() {
        assert_eq!(StorageFailure::from_error(&io::Error::other("a cable")), None);
        assert_eq!(
            StorageFailure::from_error(&io::Error::from(io::ErrorKind::BrokenPipe)),
            None
        );
    }
}
