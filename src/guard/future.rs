use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Guarded, ResponseBody,
    call::{Decided, Pending},
    layer::Answering,
    linger::{KeepOnDrop, insert_close, is_http1},
    request_body::Held,
};
use crate::{
    BoxError,
    admission::{Hold, ResponseHold, StorageFailure},
    capacity::{Demand, Refusal},
    respond::{HeadRef, LateContext, Wanted},
};

pin_project! {
    /// The response to come, of the inner service or of the guard.
    ///
    /// Dropping it ends the response's half of what the request holds, and takes back what it has asked a ledger for. It
    /// panics when it is polled after it was ready.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>>,
    {
        #[pin]
        pub(super) kind: Kind<S::Future, S, B>,
        // Beside the inner service's future and not with it in one variant: that way it was moved once more.
        pub(super) admitted: Option<Admitted>,
    }
}

pin_project! {
    #[project = Projected]
    pub(super) enum Kind<F, S, B> {
        // When nothing is admitted: exempt, switched off, or only reported.
        Going { #[pin] inner: F },
        Refused { refused: Option<Refused> },
        // Boxed, because it is large and rare.
        Waiting { pending: Box<Pending<S, B>> },
    }
}

/// The answer, and the request's body.
pub(super) struct Refused {
    pub(super) response: Response<Bytes>,
    pub(super) kept: Option<KeepOnDrop>,
}

/// What is needed when the inner service is done.
pub(super) struct Admitted {
    hold: ResponseHold<Answering>,
    late: LateContext,
    is_http1: bool,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    pub(super) fn refused(refused: Refused) -> Self {
        Self {
            kind: Kind::Refused { refused: Some(refused) },
            admitted: None,
        }
    }

    pub(super) fn waiting(pending: Pending<S, B>) -> Self {
        Self {
            kind: Kind::Waiting {
                pending: Box::new(pending),
            },
            admitted: None,
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
    S::Error: 'static,
    B: Body + Send + Unpin + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[inline]
    #[expect(
        clippy::expect_used,
        reason = "a future may panic when it is polled after it was ready"
    )]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut this = self.as_mut().project();
            let decided = match this.kind.as_mut().project() {
                Projected::Going { inner } => {
                    // At once as what is returned: a response is large, and moved as seldom as can be.
                    let outcome = ready!(inner.poll(context)).map(|response| response.map(ResponseBody::inner));
                    if let Some(admitted) = this.admitted.take() {
                        if admitted.looks_at(&outcome) {
                            if let Some(refusal) = admitted.conclude(&outcome) {
                                let replaced = outcome.as_ref().ok().map(Response::headers);
                                return Poll::Ready(Ok(admitted.replace(refusal, replaced)));
                            }
                        }
                    }
                    return Poll::Ready(outcome);
                }
                Projected::Refused { refused } => {
                    let Refused { response, kept } = refused.take().expect("polled after it was ready");
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::refusal(body, kept))));
                }
                Projected::Waiting { pending } => ready!(pending.poll(context)),
            };
            self.set(match decided.expect("polled after it was ready") {
                Decided::Goes(future) => future,
                Decided::Refused(refused) => Self::refused(refused),
            });
        }
    }
}

impl Admitted {
    /// The halves of a hold: one goes with the body, unless nothing of that counts; the response may tell what it freed.
    #[inline(always)]
    pub(super) fn of<B>(request: &Request<B>, wanted: Wanted, hold: Hold<Answering>) -> (Option<Held>, Self) {
        let (body, hold) = hold.split();
        let Wanted { demand, dialect } = wanted;
        let length_is_known = matches!(demand, Demand::Bytes(_) | Demand::Declared(_));
        let answers = &hold.context().answers;
        let late = answers.late_context(HeadRef::of(request), length_is_known, dialect);
        let is_http1 = is_http1(request.version());
        let held = (demand != Demand::Exempt).then(|| Held::new(body, is_http1));
        let admitted = Self { hold, late, is_http1 };
        (held, admitted)
    }

    /// Whether it matters what the service says. A refusal is large, and the room for one is not made for every response.
    #[inline(always)]
    fn looks_at<R, E>(&self, outcome: &Result<Response<R>, E>) -> bool {
        let tells = |response: &Response<R>| !response.extensions().is_empty();
        self.hold.is_tripped() || self.hold.charges_tenants() || outcome.as_ref().map_or(true, tells)
    }

    /// Takes note of what the service says. A refusal is what the client is told instead.
    #[inline(never)]
    fn conclude<R, E: 'static>(&self, outcome: &Result<Response<R>, E>) -> Option<Refusal> {
        let refusal = self.refusal(outcome);
        // Puts on the tenants' accounts what the response says.
        if let (None, true, Ok(response)) = (&refusal, self.hold.charges_tenants(), outcome) {
            let is_stored = self.hold.context().is_stored(response.status(), response.headers());
            self.hold.conclude(is_stored, response.extensions().get().copied());
        }
        refusal
    }

    /// Why the client is told something else than what the inner service says, if so: its body was cut off, whatever the
    /// service made of that, or the storage itself turned out to be full.
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
    fn replace<R>(self, refusal: Refusal, replaced: Option<&HeaderMap>) -> Response<ResponseBody<R>> {
        let answers = &self.hold.context().answers;
        let mut response = answers.write_late(refusal, self.late, replaced);
        if self.is_http1 {
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

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
