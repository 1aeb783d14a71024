use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{
    Guarded,
    shared::{Decided, Shared},
};
use crate::{admission::PendingAdmission, respond::Estimate};

/// A request that waits for a ledger's store, with the inner service that is ready for it. Dropping it lets go of both.
pub(super) struct Pending<S, B> {
    /// Behind a lock that is never contended, because a body need not be `Sync` and the future should be.
    call: Mutex<Option<Call<S, B>>>,
    admission: Box<PendingAdmission>,
    pub(super) shared: Arc<Shared>,
}

/// What is to be called once it is decided.
pub(super) struct Call<S, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) estimate: Estimate,
}

impl<S, B> Pending<S, B> {
    pub(super) fn new(call: Call<S, B>, admission: Box<PendingAdmission>, shared: Arc<Shared>) -> Self {
        Self {
            call: Mutex::new(Some(call)),
            admission,
            shared,
        }
    }

    /// `None` when it is polled after it was ready.
    pub(super) fn poll<R>(&mut self, context: &Context<'_>) -> Poll<Option<(Call<S, B>, Decided)>>
    where
        S: Service<Request<Guarded<B>>, Response = Response<R>>,
        B: Body,
    {
        let decided = ready!(self.shared.poll_decision(&mut self.admission, context));
        let call = self.call.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        Poll::Ready(call.map(|call| (call, decided)))
    }
}
