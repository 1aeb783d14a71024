use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded, ResponseBody, ResponseFuture,
    layer::Shared,
    linger::{Farewell, KeepOnDrop, insert_close, is_http1},
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

impl<S, B, R> Service<Request<B>> for StorageGuard<S>
where
    S: Service<Request<Guarded<B>>, Response = Response<R>>,
    S::Error: 'static,
    B: Body + Send + Unpin + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = &*self.shared;
        let (parts, body) = request.into_parts();
        let mut length_is_known = true;
        let verdict = if shared.enabled {
            let demand = respond::demand(&*shared.classifier, &parts, &body.size_hint(), &shared.length_hints);
            length_is_known = matches!(demand, Demand::Bytes(_));
            shared.admission.admit(demand, shared.priority(&parts))
        } else {
            Verdict::Passed
        };
        match verdict {
            Verdict::Admitted(hold) => {
                let remembered = shared.answers.remember(&parts, length_is_known);
                let (body_hold, response_hold) = hold.split();
                let version = parts.version;
                let body = Guarded::held(body, body_hold, &shared.lingering, is_http1(version));
                let inner = self.inner.call(Request::from_parts(parts, body));
                ResponseFuture::admitted(inner, response_hold, remembered, version, self.shared.clone())
            }
            Verdict::Passed => {
                let request = Request::from_parts(parts, Guarded::passed(body));
                ResponseFuture::passed(self.inner.call(request))
            }
            // The inner service stays as ready as it was; a permit that it took goes with it.
            Verdict::Refused(refusal) => {
                let (farewell, must_close) = shared.lingering.farewell(&parts, &body.size_hint());
                let mut response = shared.answers.answer(refusal, parts);
                if must_close {
                    insert_close(response.headers_mut());
                }
                let kept =
                    (farewell != Farewell::Drop).then(|| KeepOnDrop::new(shared.lingering.clone(), body, farewell));
                ResponseFuture::refused(response, kept)
            }
        }
    }
}
