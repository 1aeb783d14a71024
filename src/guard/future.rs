use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, Version};
use pin_project_lite::pin_project;

use super::{
    ResponseBody,
    layer::Shared,
    linger::{KeepOnDrop, insert_close, is_http1},
};
use crate::{
    BoxError,
    admission::{ResponseHold, StorageFailure},
    capacity::Refusal,
    respond::Remembered,
};

pin_project! {
    /// The response to come, of the inner service or of the guard.
    ///
    /// Dropping it ends the response's half of what the request holds.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Kind<F> {
        // Exempt, switched off, or only reported.
        Passed { #[pin] inner: F },
        Admitted { #[pin] inner: F, admitted: Option<Admitted> },
        Refused { refused: Option<Refused> },
    }
}

/// The answer, and the request's body.
struct Refused {
    response: Response<Bytes>,
    kept: Option<KeepOnDrop>,
}

/// What is needed when the inner service is done.
struct Admitted {
    hold: ResponseHold,
    remembered: Remembered,
    version: Version,
    shared: Arc<Shared>,
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn passed(inner: F) -> Self {
        Self {
            kind: Kind::Passed { inner },
        }
    }

    #[inline]
    pub(super) fn admitted(
        inner: F,
        hold: ResponseHold,
        remembered: Remembered,
        version: Version,
        shared: Arc<Shared>,
    ) -> Self {
        let admitted = Some(Admitted {
            hold,
            remembered,
            version,
            shared,
        });
        Self {
            kind: Kind::Admitted { inner, admitted },
        }
    }

    pub(super) fn refused(response: Response<Bytes>, kept: Option<KeepOnDrop>) -> Self {
        Self {
            kind: Kind::Refused {
                refused: Some(Refused { response, kept }),
            },
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    #[inline]
    #[expect(
        clippy::expect_used,
        reason = "a future may panic when it is polled after it was ready"
    )]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            Projected::Passed { inner } => inner.poll(context).map_ok(|response| response.map(ResponseBody::inner)),
            Projected::Admitted { inner, admitted } => {
                let outcome = ready!(inner.poll(context));
                let admitted = admitted.take().expect("polled after it was ready");
                Poll::Ready(match admitted.refusal(&outcome) {
                    None => outcome.map(|response| response.map(ResponseBody::inner)),
                    Some(refusal) => Ok(admitted.replace(refusal)),
                })
            }
            Projected::Refused { refused } => {
                let Refused { response, kept } = refused.take().expect("polled after it was ready");
                Poll::Ready(Ok(response.map(|body| ResponseBody::refusal(body, kept))))
            }
        }
    }
}

impl Admitted {
    /// Why the client is told something else than what the inner service says, if so: its body was cut off, whatever the
    /// service made of that, or the storage itself turned out to be full.
    #[inline]
    fn refusal<R, E: 'static>(&self, outcome: &Result<Response<R>, E>) -> Option<Refusal> {
        if let Some(refusal) = self.hold.tripped() {
            return Some(refusal);
        }
        let failure = match outcome {
            Ok(response) => *response.extensions().get::<StorageFailure>()?,
            Err(error) => StorageFailure::from_error(as_error(error)?)?,
        };
        self.hold.storage_failed(failure)
    }

    #[cold]
    fn replace<R>(self, refusal: Refusal) -> Response<ResponseBody<R>> {
        let mut response = self.shared.answers.answer_late(refusal, self.remembered);
        if is_http1(self.version) {
            insert_close(response.headers_mut());
        }
        response.map(|body| ResponseBody::refusal(body, None))
    }
}

/// An error of a type that is not known to be one: Tower does not demand it, so the usual ones are tried.
fn as_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let any: &dyn Any = error;
    if let Some(boxed) = any.downcast_ref::<BoxError>() {
        return Some(&**boxed);
    }
    if let Some(boxed) = any.downcast_ref::<Box<dyn Error + Send>>() {
        return Some(&**boxed);
    }
    any.downcast_ref::<io::Error>().map(|error| error as _)
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
