use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseBody, ResponseFuture,
    call::{Call, Pending, refuse},
    layer::Shared,
};
use crate::{admission::Verdict, capacity::Demand, respond};

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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = &*self.shared;
        let (parts, body) = request.into_parts();
        let mut length_is_known = true;
        let mut is_exempt = false;
        let verdict = if shared.enabled {
            let demand = respond::demand(&*shared.classifier, &parts, &body.size_hint(), &shared.length_hints);
            length_is_known = matches!(demand, Demand::Bytes(_) | Demand::Declared(_));
            is_exempt = demand == Demand::Exempt;
            if shared.tenant_keys.is_empty() {
                shared.admission.admit(demand, shared.priority(&parts))
            } else {
                shared.admit_for_tenants(demand, &parts)
            }
        } else {
            Verdict::Passed
        };
        match verdict {
            Verdict::Admitted(hold) => {
                let call = Call {
                    parts,
                    body,
                    length_is_known,
                    is_exempt,
                };
                call.admitted(&mut self.inner, hold, &self.shared)
            }
            Verdict::Waits(waits) => {
                // The one that was polled ready; a clone may not be.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let call = Call {
                    parts,
                    body,
                    length_is_known,
                    is_exempt,
                };
                ResponseFuture::waiting(Pending::new(ready, call, waits, self.shared.clone()))
            }
            Verdict::Passed => {
                let request = Request::from_parts(parts, Guarded::passed(body));
                ResponseFuture::passed(self.inner.call(request))
            }
            // The inner service stays as ready as it was; a permit that it took goes with it.
            Verdict::Refused(refusal) => ResponseFuture::refused(refuse(shared, refusal, parts, body)),
        }
    }
}
