use std::{error::Error, fmt};

use crate::{BoxError, capacity::Refusal};

/// Why a request body broke off: it outgrew what fits, or the client's own failure.
///
/// A concrete error, because some consumers (multipart readers, S3 and WebDAV servers) cannot take a boxed one.
#[derive(Debug)]
pub struct BodyError {
    /// Boxed: every frame is moved together with the room for an error.
    cause: Box<Cause>,
}

#[derive(Debug)]
enum Cause {
    Refused(Refusal),
    Inner(BoxError),
}

/// The kinds of failure of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyErrorKind {
    /// What came was more than fits. Whatever the handler answers, the client gets the refusal.
    Refused,
    /// The body itself failed, for example because the client went away.
    Inner,
}

impl BodyError {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            cause: Box::new(Cause::Refused(refusal)),
        }
    }

    pub(super) fn inner(error: impl Into<BoxError>) -> Self {
        Self {
            cause: Box::new(Cause::Inner(error.into())),
        }
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> BodyErrorKind {
        match *self.cause {
            Cause::Refused(_) => BodyErrorKind::Refused,
            Cause::Inner(_) => BodyErrorKind::Inner,
        }
    }

    /// The refusal, if it is one.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &*self.cause {
            Cause::Refused(refusal) => Some(refusal),
            Cause::Inner(_) => None,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            Cause::Refused(refusal) => write!(f, "the request body was cut off: {refusal}"),
            Cause::Inner(_) => f.write_str("the request body failed"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.cause {
            Cause::Refused(refusal) => Some(refusal),
            Cause::Inner(error) => Some(&**error),
        }
    }
}
