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
use http::{Request, Response, Version};
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
    respond::{HeadRef, Remembered},
};

pin_project! {
    /// The response to come, of the inner service or of the guard.
    ///
    /// Dropping it ends the response's half of what the request holds.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>>,
    {
        #[pin]
        kind: Kind<S::Future, S, B>,
    }
}

pin_project! {
    #[project = Projected]
    enum Kind<F, S, B> {
        // Exempt, switched off, or only reported.
        Passed { #[pin] inner: F },
        Admitted { #[pin] inner: F, admitted: Option<Admitted> },
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
    remembered: Remembered,
    version: Version,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    #[inline(always)]
    pub(super) fn passed(call: impl FnOnce() -> S::Future) -> Self {
        Self {
            kind: Kind::Passed { inner: call() },
        }
    }

    /// The inner service is called in here, so that its future is written where it stays.
    #[inline(always)]
    pub(super) fn admitted(call: impl FnOnce() -> S::Future, admitted: Admitted) -> Self {
        Self {
            kind: Kind::Admitted {
                inner: call(),
                admitted: Some(admitted),
            },
        }
    }

    pub(super) fn refused(refused: Refused) -> Self {
        Self {
            kind: Kind::Refused { refused: Some(refused) },
        }
    }

    pub(super) fn waiting(pending: Pending<S, B>) -> Self {
        Self {
            kind: Kind::Waiting {
                pending: Box::new(pending),
            },
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
            let mut kind = self.as_mut().project().kind;
            let decided = match kind.as_mut().project() {
                Projected::Passed { inner } => {
                    return inner.poll(context).map_ok(|response| response.map(ResponseBody::inner));
                }
                Projected::Admitted { inner, admitted } => {
                    // At once as what is returned: a response is large, and moved as seldom as can be.
                    let outcome = ready!(inner.poll(context)).map(|response| response.map(ResponseBody::inner));
                    let admitted = admitted.take().expect("polled after it was ready");
                    if admitted.may_be_refused(&outcome) {
                        if let Some(refusal) = admitted.refusal(&outcome) {
                            return Poll::Ready(Ok(admitted.replace(refusal)));
                        }
                    }
                    admitted.conclude(&outcome);
                    return Poll::Ready(outcome);
                }
                Projected::Refused { refused } => {
                    let Refused { response, kept } = refused.take().expect("polled after it was ready");
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::refusal(body, kept))));
                }
                Projected::Waiting { pending } => ready!(pending.poll(context)),
            };
            kind.set(match decided.expect("polled after it was ready") {
                Decided::Goes(future) => future.kind,
                Decided::Refused(refused) => Kind::Refused { refused: Some(refused) },
            });
        }
    }
}

/// What goes with an admitted request's body.
pub(super) struct Kept {
    /// None where nothing of the body counts; the response may tell what it freed.
    held: Option<Held>,
}

impl Kept {
    #[inline(always)]
    pub(super) fn around<B>(self, body: B) -> Guarded<B> {
        Guarded::new(body, self.held)
    }
}

impl Admitted {
    #[inline(always)]
    pub(super) fn of<B>(request: &Request<B>, demand: Demand, hold: Hold<Answering>) -> (Kept, Self) {
        let (body, hold) = hold.split();
        let length_is_known = matches!(demand, Demand::Bytes(_) | Demand::Declared(_));
        let remembered = hold.context().answers.remember(HeadRef::of(request), length_is_known);
        let version = request.version();
        let held = (demand != Demand::Exempt).then(|| Held::new(body, is_http1(version)));
        let admitted = Self {
            hold,
            remembered,
            version,
        };
        (Kept { held }, admitted)
    }

    /// Whether it is worth a look; a refusal is large, and the room for one is not made for every response.
    #[inline(always)]
    fn may_be_refused<R, E>(&self, outcome: &Result<Response<R>, E>) -> bool {
        self.hold.is_tripped()
            || outcome
                .as_ref()
                .map_or(true, |response| !response.extensions().is_empty())
    }

    /// Why the client is told something else than what the inner service says, if so: its body was cut off, whatever the
    /// service made of that, or the storage itself turned out to be full.
    #[cold]
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

    /// Puts on the tenants' accounts what the response says.
    #[inline]
    fn conclude<R, E>(&self, outcome: &Result<Response<R>, E>) {
        if let (true, Ok(response)) = (self.hold.charges_tenants(), outcome) {
            let is_stored = self.hold.context().is_stored(response.status(), response.headers());
            self.hold.conclude(is_stored, response.extensions().get().copied());
        }
    }

    #[cold]
    fn replace<R>(self, refusal: Refusal) -> Response<ResponseBody<R>> {
        let mut response = self.hold.context().answers.answer_late(refusal, self.remembered);
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

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
