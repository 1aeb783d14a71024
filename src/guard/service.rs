use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseBody, ResponseFuture,
    future::remember,
    linger::is_http1,
    pending::{Call, Pending},
    response_context::HTTP1,
    shared::{Decision, Shared},
};
use crate::{
    admission::{BodyReservation, ResponseReservation, Shortage},
    capacity::Claim,
    respond::{Class, Estimate, HeadRef},
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

/// `S: Clone`, because a request that waits for a ledger's store takes the ready service and leaves a clone; no other
/// request clones it. `S::Error: 'static`, because a failure of the storage is recognised in it by its type. `B: Send +
/// 'static`, because a task keeps the body of a refused request until the client has read the answer.
impl<S, B, R> Service<Request<B>> for StorageGuard<S>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = &*self.shared;
        // The inner service is called at one place, so that it can become a part of this.
        let (body, response) = match *request.method() {
            Method::PUT | Method::POST | Method::PATCH if shared.decides_by_length => {
                let Some(bytes @ 1..) = request.body().size_hint().exact() else {
                    return self.call_by_headers(request);
                };
                let claim = Claim {
                    bytes,
                    ..Claim::default()
                };
                match shared.admission.reserve(&claim) {
                    Ok((body, response)) => {
                        response.set_note(if is_http1(request.version()) { HTTP1 } else { 0 });
                        (body, response)
                    }
                    Err(shortage) => return self.deny(request, &claim, shortage),
                }
            }
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE if shared.exempts_safe_methods => {
                (BodyReservation::none(), ResponseReservation::none())
            }
            _ => return self.call_slow(request),
        };
        ResponseFuture::forward(&mut self.inner, request, body, response)
    }
}

impl<S> StorageGuard<S> {
    /// A request whose headers tell what its method and length do not.
    #[inline(never)]
    fn call_by_headers<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        let shared = &*self.shared;
        let estimate = shared.estimate(Class::Stores, HeadRef::of(&request), request.body());
        let claim = estimate.claim.unwrap_or_default();
        match shared.admission.reserve(&claim) {
            Ok((body, response)) => {
                remember(&shared.response_context, &request, &estimate, &response);
                ResponseFuture::forward(&mut self.inner, request, body, response)
            }
            Err(shortage) => self.deny(request, &claim, shortage),
        }
    }

    /// Any request for which settings decide.
    #[inline(never)]
    fn call_slow<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        let shared = &*self.shared;
        if shared.is_exempt(request.method()) {
            let (body, response) = (BodyReservation::none(), ResponseReservation::none());
            return ResponseFuture::forward(&mut self.inner, request, body, response);
        }
        if shared.needs_parts() {
            return self.call_with_parts(request);
        }
        let (estimate, decision) = shared.decide(HeadRef::of(&request), None, request.body());
        self.dispatch(request, estimate, decision)
    }

    /// Takes a request apart for the settings that look at its parts, since putting it together again moves all of it twice.
    #[inline(never)]
    fn call_with_parts<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let (estimate, decision) = self.shared.decide(HeadRef::from(&parts), Some(&parts), &body);
        self.dispatch(Request::from_parts(parts, body), estimate, decision)
    }

    #[cold]
    fn deny<B, R>(&mut self, request: Request<B>, claim: &Claim, shortage: Shortage) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        let decided = self.shared.deny(claim, shortage);
        ResponseFuture::decided(&self.shared, &mut self.inner, request, &Estimate::default(), decided)
    }

    #[inline(always)]
    fn dispatch<B, R>(&mut self, request: Request<B>, estimate: Estimate, decision: Decision) -> ResponseFuture<S, B>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        match decision {
            Decision::Decided(decided) => {
                ResponseFuture::decided(&self.shared, &mut self.inner, request, &estimate, decided)
            }
            Decision::Waits(admission) => {
                // The one that was polled ready; a clone may not be.
                let clone = self.inner.clone();
                let call = Call {
                    inner: mem::replace(&mut self.inner, clone),
                    request,
                    estimate,
                };
                ResponseFuture::waiting(Pending::new(call, admission, self.shared.clone()))
            }
        }
    }
}
