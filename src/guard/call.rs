//! A request on its way to the inner service.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseFuture,
    future::{Admitted, Kind, Refused},
    layer::{Answering, Shared},
    linger::{Farewell, KeepOnDrop, ends_at_once, insert_close},
    request_body::Held,
};
use crate::{
    admission::{Hold, Verdict, Waits},
    capacity::Refusal,
    respond::Wanted,
};

/// A request that is not decided about yet.
pub(super) struct Call<B> {
    pub(super) request: Request<B>,
    pub(super) wanted: Wanted,
}

/// Hands an admitted request on.
#[inline(always)]
pub(super) fn admitted<S, B, R>(
    request: Request<B>,
    wanted: Wanted,
    inner: &mut S,
    hold: Hold<Answering>,
) -> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
{
    let (held, admitted) = Admitted::of(&request, wanted, hold);
    going(request, inner, held, Some(admitted))
}

/// Hands a request on of which nothing is held.
#[inline(always)]
pub(super) fn passed<S, B, R>(request: Request<B>, inner: &mut S) -> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
{
    going(request, inner, None, None)
}

/// Hands a request on, with what is held for it.
#[inline(always)]
pub(super) fn going<S, B, R>(
    request: Request<B>,
    inner: &mut S,
    held: Option<Held>,
    admitted: Option<Admitted>,
) -> ResponseFuture<S, B>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
{
    // At once where they stay: requests and futures are large.
    ResponseFuture {
        kind: Kind::Going {
            inner: inner.call(request.map(|body| Guarded::new(body, held))),
        },
        admitted,
    }
}

/// The answer to a request that is refused at once, and its body, which may have to be kept for a moment.
pub(super) fn refuse<B>(answering: &Answering, refusal: Refusal, request: Request<B>) -> Refused
where
    B: Body + Send + Unpin + 'static,
{
    let (mut parts, mut body) = request.into_parts();
    let lingering = &answering.lingering;
    let (farewell, must_close) = lingering.farewell(&parts, &body.size_hint());
    let mut response = answering.answers.write(refusal, &mut parts);
    if must_close {
        insert_close(response.headers_mut());
    }
    let kept = match farewell {
        Farewell::Drop => None,
        // A small body that is here already needs nobody to wait for it.
        Farewell::Drain if ends_at_once(&mut body) => None,
        farewell => Some(KeepOnDrop::new(lingering.clone(), body, farewell)),
    };
    Refused { response, kept }
}

/// A request that waits for a ledger's store, with the inner service that is ready for it. Dropping it lets go of both.
pub(super) struct Pending<S, B> {
    /// Behind a lock that is never contended, because a body need not be `Sync` and the future should be.
    state: Mutex<Option<State<S, B>>>,
    waits: Box<Waits>,
    shared: Arc<Shared>,
}

struct State<S, B> {
    inner: S,
    call: Call<B>,
}

/// What becomes of a request that waited.
pub(super) enum Decided<S, B>
where
    S: Service<Request<Guarded<B>>>,
{
    Goes(ResponseFuture<S, B>),
    Refused(Refused),
}

impl<S, B> Pending<S, B> {
    pub(super) fn new(inner: S, call: Call<B>, waits: Box<Waits>, shared: Arc<Shared>) -> Self {
        Self {
            state: Mutex::new(Some(State { inner, call })),
            waits,
            shared,
        }
    }

    pub(super) fn poll<R>(&mut self, context: &Context<'_>) -> Poll<Option<Decided<S, B>>>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>>,
        B: Body + Send + Unpin + 'static,
    {
        let verdict = ready!(self.shared.admission.poll(&mut self.waits, context));
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(State { mut inner, call }) = state.take() else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match verdict {
            Verdict::Admitted(hold) => Decided::Goes(admitted(call.request, call.wanted, &mut inner, hold)),
            Verdict::Refused(refusal) => Decided::Refused(refuse(&self.shared.answering, refusal, call.request)),
            // A decision that has waited waits no more; nothing is held in report-only mode.
            Verdict::Passed | Verdict::Waits(_) => Decided::Goes(passed(call.request, &mut inner)),
        }))
    }
}
