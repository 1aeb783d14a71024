use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseBody, ResponseFuture,
    call::{Call, Pending, admitted, going, passed, refuse},
    future::Admitted,
    layer::{Answering, Shared},
};
use crate::{
    admission::Verdict,
    capacity::Priority,
    respond::{HeadRef, Wanted},
};

/// A service behind a [`StorageGuardLayer`](super::StorageGuardLayer).
#[derive(Clone, Debug)]
pub struct StorageGuard<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> StorageGuard<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// The guarded service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The guarded service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The guarded service alone.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The inner service must be [`Clone`] for the case that a ledger has to ask its store: the one that is ready waits then,
/// and a clone takes its place. No other request clones it.
impl<S, B, R> Service<Request<B>> for StorageGuard<S>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: Body + Send + Unpin + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = &*self.shared;
        // The inner service is called at one place, so that it can become a part of this.
        let (held, admitted) = if shared.passes(request.method()) {
            (None, None)
        } else if shared.shows_heads() {
            return self.call_by_head(request);
        } else {
            let wanted = shared.wanted(&request);
            if !shared.tenant_keys.is_empty() {
                let verdict = shared.decide_whole(HeadRef::of(&request), wanted.demand);
                return self.otherwise(request, wanted, verdict);
            }
            let Some(hold) = shared.admission.try_admit(wanted.demand) else {
                return self.decide(request, wanted);
            };
            let (held, admitted) = Admitted::of(&request, wanted, hold);
            (held, Some(admitted))
        };
        going(request, &mut self.inner, held, admitted)
    }
}

impl<S> StorageGuard<S> {
    /// Where somebody wants to see all of a request's head: it is taken apart for that and put together again.
    #[inline(never)]
    fn call_by_head<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + Unpin + 'static,
    {
        let (parts, body) = request.into_parts();
        let (wanted, verdict) = self.shared.decide_by_head(&parts, &body);
        self.otherwise(Request::from_parts(parts, body), wanted, verdict)
    }

    #[cold]
    fn decide<B, R>(&mut self, request: Request<B>, wanted: Wanted) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + Unpin + 'static,
    {
        let verdict = self.shared.admission.admit(wanted.demand, Priority::Usual);
        self.otherwise(request, wanted, verdict)
    }

    fn otherwise<B, R>(
        &mut self,
        request: Request<B>,
        wanted: Wanted,
        verdict: Verdict<Answering>,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + Unpin + 'static,
    {
        match verdict {
            Verdict::Admitted(hold) => admitted(request, wanted, &mut self.inner, hold),
            Verdict::Passed => passed(request, &mut self.inner),
            // The inner service stays as ready as it was; a permit that it took goes with it.
            Verdict::Refused(refusal) => ResponseFuture::refused(refuse(&self.shared.answering, refusal, request)),
            Verdict::Waits(waits) => {
                // The one that was polled ready; a clone may not be.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::waiting(Pending::new(
                    ready,
                    Call { request, wanted },
                    waits,
                    self.shared.clone(),
                ))
            }
        }
    }
}
