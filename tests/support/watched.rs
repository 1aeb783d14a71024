//! A client's body that tells whether it is still there.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower_storage_guard::test_util::{ScriptError, ScriptedBody};

pub(crate) struct Watched {
    script: ScriptedBody,
    _alive: Arc<()>,
}

#[derive(Clone)]
pub(crate) struct Watch(Weak<()>);

impl Watch {
    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

pub(crate) fn watched(script: ScriptedBody) -> (Watched, Watch) {
    let alive = Arc::new(());
    let watch = Watch(Arc::downgrade(&alive));
    (Watched { script, _alive: alive }, watch)
}

impl Body for Watched {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        Pin::new(&mut self.script).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}
