//! Request bodies on the heap, so that one of any type can outlive the handler that dropped it.

use std::{
    any::Any,
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::admission::BodyReservation;

pin_project! {
    /// A request body in a box that threads use again, so that storing one allocates nothing.
    pub(super) struct StoredBody<B> {
        // None in a box that waits for its next body.
        #[pin]
        body: Option<B>,
        is_ended: bool,
        // What becomes of the body when the handler drops it. A pointer, so that dropping needs no bounds.
        pub(super) release: Release<B>,
    }
}

pub(super) type Boxed<B> = Pin<Box<StoredBody<B>>>;
pub(super) type Release<B> = fn(Boxed<B>, &BodyReservation);

/// How many boxes of one type a thread keeps at most.
const KEPT: usize = 8192;

thread_local! {
    /// Boxes without a body, a `Vec` for each type of body that they had.
    static KEPT_BOXES: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Puts a body into a box.
#[inline(never)]
pub(super) fn store<B: 'static>(body: B, release: Release<B>) -> Boxed<B> {
    match with_boxes(Vec::pop).flatten() {
        Some(mut stored) => {
            let mut this = stored.as_mut().project();
            this.body.set(Some(body));
            *this.is_ended = false;
            // The box may come from a body that is released in another way.
            *this.release = release;
            stored
        }
        None => Box::pin(StoredBody {
            body: Some(body),
            is_ended: false,
            release,
        }),
    }
}

/// Drops the body, and keeps its box.
#[inline(always)]
pub(super) fn put_back<B: 'static>(mut stored: Boxed<B>) {
    // First, since it may do anything.
    stored.as_mut().project().body.set(None);
    with_boxes(|boxes| {
        if boxes.len() < KEPT {
            boxes.push(stored);
        }
    });
}

/// `None` while the thread ends.
#[inline(always)]
fn with_boxes<B: 'static, T>(action: impl FnOnce(&mut Vec<Boxed<B>>) -> T) -> Option<T> {
    let find = |kept: &RefCell<Vec<Box<dyn Any>>>| {
        let mut kept = kept.try_borrow_mut().ok()?;
        if let Some(boxes) = kept.iter_mut().find_map(|boxes| boxes.downcast_mut()) {
            return Some(action(boxes));
        }
        let mut boxes = Vec::new();
        let outcome = action(&mut boxes);
        kept.push(Box::new(boxes));
        Some(outcome)
    };
    KEPT_BOXES.try_with(find).ok().flatten()
}

impl<B> StoredBody<B> {
    /// The body, while there is one.
    #[inline(always)]
    pub(super) fn body(self: Pin<&mut Self>) -> Option<Pin<&mut B>> {
        self.project().body.as_pin_mut()
    }

    /// The body has brought all that it will.
    pub(super) fn set_ended(self: Pin<&mut Self>) {
        *self.project().is_ended = true;
    }
}

/// For the linger.
impl<B: Body> Body for StoredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.body() {
            Some(body) => body.poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.is_ended || self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
