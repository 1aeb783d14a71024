//! What a handler gets of a request: its body and its reservation.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower_storage_guard::{
    BodyError, Guarded, Reservation,
    test_util::{ScriptError, ScriptedBody},
};

use crate::plan::Plan;

/// A client's body. Records what it sends, and when it is gone.
pub(crate) struct Upload {
    pub(crate) script: ScriptedBody,
    pub(crate) plan: Plan,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        let polled = Pin::new(&mut self.script).poll_frame(context);
        let mut facts = self.plan.facts();
        let client = &mut facts.client;
        client.is_asked = true;
        client.hangs = polled.is_pending();
        match &polled {
            Poll::Ready(Some(Ok(frame))) => client.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(outcome) => {
                client.is_done = true;
                client.has_failed = outcome.is_some();
            }
            Poll::Pending => {}
        }
        drop(facts);
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.plan.facts().body_is_gone = true;
    }
}

/// The body as the handler has it. Records when the handler lets go of it.
pub(crate) struct Received {
    body: Option<Guarded<Upload>>,
    plan: Plan,
}

impl Received {
    pub(crate) fn new(body: Guarded<Upload>, plan: &Plan) -> Self {
        plan.facts().client.is_small = body.size_hint().exact().is_some_and(|bytes| bytes <= 64 << 10);
        Self {
            body: Some(body),
            plan: plan.clone(),
        }
    }

    /// The bytes of the next frame. None at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<u64, BodyError>> {
        let frame = self.body.as_mut()?.frame().await?;
        Some(frame.map(|frame| {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.plan.facts().handed += bytes;
            bytes
        }))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let body = self.body.take();
        // A body can tell that nothing more comes before it was asked. One that was cut off only seems to end.
        if self.plan.facts().cut.is_none() {
            self.plan.facts().client.is_done |= body.as_ref().is_some_and(Body::is_end_stream);
        }
        drop(body);
        self.plan.facts().is_released = true;
    }
}

/// A reservation that a task keeps. Records when the task gives it up.
pub(crate) struct Kept {
    handle: Option<Reservation>,
    plan: Plan,
}

impl Kept {
    pub(crate) fn new(handle: &Reservation, plan: &Plan) -> Self {
        plan.facts().is_kept = true;
        Self {
            handle: Some(handle.clone()),
            plan: plan.clone(),
        }
    }

    pub(crate) fn forget(mut self) {
        std::mem::forget(self.handle.take());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.release();
        }
        self.plan.facts().is_kept = false;
    }
}
