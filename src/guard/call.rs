//! A request on its way to the inner service.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response, request::Parts};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseFuture,
    future::Refused,
    layer::Shared,
    linger::{Farewell, KeepOnDrop, insert_close, is_http1},
};
use crate::{
    admission::{Hold, Verdict, Waits},
    capacity::Refusal,
};

/// A request that is not decided about yet, or was just admitted.
pub(super) struct Call<B> {
    pub(super) parts: Parts,
    pub(super) body: B,
    pub(super) length_is_known: bool,
    /// Nothing of its body counts; the response may tell what it freed.
    pub(super) is_exempt: bool,
}

impl<B: Body + Send + Unpin + 'static> Call<B> {
    #[inline]
    pub(super) fn admitted<S, R>(self, inner: &mut S, hold: Hold, shared: &Arc<Shared>) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>>,
    {
        let Self { parts, body, .. } = self;
        let remembered = shared.answers.remember(&parts, self.length_is_known);
        let (body_hold, response_hold) = hold.split();
        let version = parts.version;
        let body = if self.is_exempt {
            Guarded::passed(body)
        } else {
            Guarded::held(body, body_hold, &shared.lingering, is_http1(version))
        };
        let inner = inner.call(Request::from_parts(parts, body));
        ResponseFuture::admitted(inner, response_hold, remembered, version, shared.clone())
    }
}

/// The answer to a request that is refused at once, and its body, which may have to be kept for a moment.
pub(super) fn refuse<B>(shared: &Shared, refusal: Refusal, parts: Parts, body: B) -> Refused
where
    B: Body + Send + Unpin + 'static,
{
    let (farewell, must_close) = shared.lingering.farewell(&parts, &body.size_hint());
    let mut response = shared.answers.answer(refusal, parts);
    if must_close {
        insert_close(response.headers_mut());
    }
    let kept = (farewell != Farewell::Drop).then(|| KeepOnDrop::new(shared.lingering.clone(), body, farewell));
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
            Verdict::Admitted(hold) => Decided::Goes(call.admitted(&mut inner, hold, &self.shared)),
            Verdict::Refused(refusal) => {
                let Call { parts, body, .. } = call;
                Decided::Refused(refuse(&self.shared, refusal, parts, body))
            }
            // A decision that has waited waits no more; nothing is held in report-only mode.
            Verdict::Passed | Verdict::Waits(_) => {
                let request = Request::from_parts(call.parts, Guarded::passed(call.body));
                Decided::Goes(ResponseFuture::passed(inner.call(request)))
            }
        }))
    }
}
