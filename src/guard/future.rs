use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    Guarded, ResponseBody,
    linger::{KeepOnDrop, insert_close, is_http1},
    pending::Pending,
    refused::Refused,
    response_context::{DIALECT_SHIFT, HTTP1, ResponseContext},
    shared::{Decided, Shared},
};
use crate::{
    BoxError,
    admission::{BodyReservation, ResponseReservation, StorageFailure},
    capacity::Refusal,
    respond::{Estimate, HeadRef, LateContext},
};

pin_project! {
    /// The response to come, of the inner service or of the guard.
    ///
    /// Dropping it ends the response's part of what the request holds, and takes back what it has asked a ledger for. It
    /// panics when it is polled after it was ready.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>>,
    {
        #[pin]
        kind: Kind<S::Future, S, B>,
        // Beside the inner service's future and not with it in one variant: that way it was moved once more.
        reservation: ResponseReservation,
    }
}

pin_project! {
    #[project = Projected]
    enum Kind<F, S, B> {
        Inner { #[pin] future: F },
        // None once it is ready.
        Guard { answer: Option<Answer<S, B>> },
    }
}

/// What the guard itself does before the inner service is called, or in its place.
enum Answer<S, B> {
    Refused(Refused),
    /// Boxed, because it is large and rare.
    Waiting(Box<Pending<S, B>>),
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    /// Calls the inner service.
    #[inline(always)]
    pub(super) fn forward(
        inner: &mut S,
        request: Request<B>,
        body: BodyReservation,
        response: ResponseReservation,
    ) -> Self
    where
        B: Body + Send + 'static,
    {
        // Not with `Request::map`, which does not become a part of this.
        let (parts, unguarded) = request.into_parts();
        // At once where it stays: requests and futures are large.
        Self {
            kind: Kind::Inner {
                future: inner.call(Request::from_parts(parts, Guarded::new(unguarded, body))),
            },
            reservation: response,
        }
    }

    pub(super) fn refused(refused: Refused) -> Self {
        Self::guard(Answer::Refused(refused))
    }

    pub(super) fn waiting(pending: Pending<S, B>) -> Self {
        Self::guard(Answer::Waiting(Box::new(pending)))
    }

    fn guard(answer: Answer<S, B>) -> Self {
        Self {
            kind: Kind::Guard { answer: Some(answer) },
            reservation: ResponseReservation::none(),
        }
    }

    /// Goes on with a request that is decided about.
    #[inline(always)]
    pub(super) fn decided(
        shared: &Shared,
        inner: &mut S,
        mut request: Request<B>,
        estimate: &Estimate,
        decided: Decided,
    ) -> Self
    where
        B: Body + Send + 'static,
    {
        let (body, response) = match decided {
            Decided::Admitted((body, response)) => {
                remember(&shared.response_context, &request, estimate, &response);
                if shared.exposes_reservation {
                    if let Some(handle) = response.expose() {
                        request.extensions_mut().insert(handle);
                    }
                }
                // The body of an exempt request does not count, only what its response frees.
                let counts = estimate.claim.is_some();
                (if counts { body } else { BodyReservation::none() }, response)
            }
            Decided::Untracked => (BodyReservation::none(), ResponseReservation::none()),
            // The inner service stays as ready as it was; a permit that it took goes with it.
            Decided::Refused(refusal) => {
                return Self::refused(Refused::new(
                    &shared.response_context,
                    refusal,
                    request,
                    estimate.dialect,
                ));
            }
        };
        Self::forward(inner, request, body, response)
    }
}

/// Notes what a late answer will need.
#[inline(always)]
pub(super) fn remember<B>(
    response_context: &ResponseContext,
    request: &Request<B>,
    estimate: &Estimate,
    response: &ResponseReservation,
) {
    let LateContext { dialect, head } = response_context
        .refusal_writer
        .late_context(HeadRef::of(request), estimate.dialect);
    response.set_note(u8::from(is_http1(request.version())) | dialect << DIALECT_SHIFT);
    if let Some(head) = head {
        response.keep_head(head);
    }
}

/// `S: Clone`, because a waiting request takes the ready service and leaves a clone. `S::Error: 'static`, because an error
/// of the storage is recognised in it by its type. `B: Send + 'static`, because a task keeps the body of a refused
/// request until the client has read the answer.
impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
    S::Error: 'static,
    B: Body + Send + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let Projected::Inner { future } = this.kind.project() else {
            return self.poll_guard(context);
        };
        // At once as what is returned: a response is large, and moved as seldom as can be.
        let poll = || {
            future
                .poll(context)
                .map(|outcome| outcome.map(|response| response.map(ResponseBody::inner)))
        };
        if !this.reservation.is_some() {
            return poll();
        }
        let mut outcome = poll();
        if let Poll::Ready(outcome) = &mut outcome {
            if this.reservation.needs_inspection() || may_tell(outcome) {
                finish(this.reservation, outcome);
            }
            this.reservation.end();
        }
        outcome
    }
}

impl<S, B, R> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
    S::Error: 'static,
    B: Body + Send + 'static,
{
    /// Where the inner service does not answer, or is not called yet.
    #[cold]
    #[inline(never)]
    #[expect(
        clippy::expect_used,
        reason = "a future may panic when it is polled after it was ready"
    )]
    fn poll_guard(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<R>>, S::Error>> {
        if let Projected::Guard { answer } = self.as_mut().project().kind.project() {
            match answer.take().expect("polled after it was ready") {
                Answer::Refused(Refused { response, kept }) => {
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::refusal(body, kept))));
                }
                Answer::Waiting(mut pending) => {
                    let Poll::Ready(outcome) = pending.poll(context) else {
                        *answer = Some(Answer::Waiting(pending));
                        return Poll::Pending;
                    };
                    let (mut call, decided) = outcome.expect("polled after it was ready");
                    let shared = &pending.shared;
                    let next = Self::decided(shared, &mut call.inner, call.request, &call.estimate, decided);
                    self.set(next);
                }
            }
        }
        self.poll(context)
    }
}

/// Whether the service itself may say that the storage failed.
#[inline(always)]
fn may_tell<R, E>(outcome: &Result<Response<R>, E>) -> bool {
    outcome
        .as_ref()
        .map_or(true, |response| !response.extensions().is_empty())
}

/// Settles what the response says, and replaces it if the request is refused after all.
#[cold]
#[inline(never)]
fn finish<R, E: 'static>(reservation: &ResponseReservation, outcome: &mut Result<Response<ResponseBody<R>>, E>) {
    if let Some(refusal) = late_refusal(reservation, outcome) {
        let replaced = outcome.as_ref().ok().map(Response::headers);
        if let Some(response) = into_response(reservation, refusal, replaced) {
            *outcome = Ok(response);
        }
    } else if let (true, Ok(response)) = (reservation.charges_tenants(), &outcome) {
        let context = reservation.context();
        let is_stored = context
            .is_some_and(|context| ResponseContext::of(&context).is_stored(response.status(), response.headers()));
        reservation.note_outcome(is_stored, response.extensions().get().copied());
    }
    reservation.unpark();
}

/// The refusal that replaces the response, if any: the body was cut off, whatever the service made of that, or the storage
/// itself failed.
fn late_refusal<R, E: 'static>(reservation: &ResponseReservation, outcome: &Result<Response<R>, E>) -> Option<Refusal> {
    if let Some(refusal) = reservation.cut_off() {
        return Some(refusal);
    }
    let failure = match outcome {
        Ok(response) => *response.extensions().get::<StorageFailure>()?,
        Err(error) => StorageFailure::from_error(as_error(error)?)?,
    };
    reservation.storage_failed(failure)
}

fn into_response<R>(
    reservation: &ResponseReservation,
    refusal: Refusal,
    replaced: Option<&HeaderMap>,
) -> Option<Response<ResponseBody<R>>> {
    let context = reservation.context()?;
    let note = reservation.note();
    let late = LateContext {
        dialect: note >> DIALECT_SHIFT,
        head: reservation.take_head().and_then(|head| head.downcast().ok()),
    };
    let mut response = ResponseContext::of(&context)
        .refusal_writer
        .write_late(refusal, late, replaced);
    if note & HTTP1 != 0 {
        insert_close(response.headers_mut());
    }
    let kept = reservation
        .keep_parked_body(&context)
        .and_then(|kept| kept.downcast().ok());
    let kept = kept.map(|kept: Box<KeepOnDrop>| *kept);
    Some(response.map(|body| ResponseBody::refusal(body, kept)))
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
