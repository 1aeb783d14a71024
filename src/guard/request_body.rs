use std::{
    any::Any,
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    BodyError,
    linger::{KeepOnDrop, SMALL},
    response_context::{HTTP1, ResponseContext},
    stored_body::{Boxed, StoredBody, put_back, store},
};
use crate::{
    BoxError,
    admission::{BodyReservation, Growth, LayerContext, ParkedBody},
};

pin_project! {
    /// The request body as the inner service sees it: it counts what passes, reserves for a body of unknown length as it
    /// comes, and ends with a [`BodyError`] when that does not fit.
    ///
    /// After that error the body is at its end. Dropping it gives back what it held as soon as the response is done too.
    pub struct Guarded<B> {
        #[pin]
        storage: Storage<B>,
        // A frame that waits for its room.
        waiting: Option<Box<Waiting>>,
        reservation: BodyReservation,
    }

    impl<B> PinnedDrop for Guarded<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(mut waiting) = this.waiting.take() {
                this.reservation.abandon(&mut waiting.growth);
            }
            if let Some(stored) = take_boxed(this.storage) {
                let release = stored.release;
                release(stored, this.reservation);
            }
        }
    }
}

pin_project! {
    #[project = StorageProjection]
    #[project_replace = Replaced]
    enum Storage<B> {
        // A small one, or one for which nothing is reserved. None once the body is cut off.
        Inline { #[pin] body: Option<B> },
        // One that may outlive the handler.
        Boxed { stored: Boxed<B> },
    }
}

#[inline(always)]
fn take_boxed<B>(mut storage: Pin<&mut Storage<B>>) -> Option<Boxed<B>> {
    let StorageProjection::Boxed { .. } = storage.as_mut().project() else {
        return None;
    };
    match storage.project_replace(Storage::Inline { body: None }) {
        Replaced::Boxed { stored } => Some(stored),
        Replaced::Inline { .. } => None,
    }
}

struct Waiting {
    /// What was [polled](Polled), without its type: the body's type must not need bounds where it is only named. Behind a
    /// lock that is never contended, because data need not be `Sync` and the body should be.
    frame: Mutex<Box<dyn Any + Send>>,
    growth: Growth,
}

impl<B: Body + Send + 'static> Guarded<B> {
    #[inline(always)]
    pub(super) fn new(body: B, reservation: BodyReservation) -> Self {
        let is_small = body.size_hint().exact().is_some_and(|bytes| bytes <= SMALL);
        let storage = if is_small || !reservation.is_some() {
            Storage::Inline { body: Some(body) }
        } else {
            Storage::Boxed {
                stored: store(body, release),
            }
        };
        Self {
            storage,
            waiting: None,
            reservation,
        }
    }
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, BodyError>>>;

impl<B> Body for Guarded<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Data = B::Data;
    type Error = BodyError;

    #[inline]
    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<B> {
        let this = self.as_mut().project();
        if this.reservation.before_frame() {
            if this.waiting.is_some() {
                return self.poll_waiting(context);
            }
            this.reservation.close_written();
        }
        let body = match this.storage.project() {
            StorageProjection::Inline { body } => body.as_pin_mut(),
            StorageProjection::Boxed { stored } => stored.as_mut().body(),
        };
        let Some(body) = body else {
            return Poll::Ready(None);
        };
        // At once as what is returned: a frame is large.
        let polled = body.poll_frame(context).map_err(BodyError::inner);
        let bytes = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Buf::remaining) as u64,
            Poll::Ready(_) => {
                self.set_ended();
                return polled;
            }
            Poll::Pending => return polled,
        };
        // Before the frame is handed on: what is written without room is too late to refuse.
        if this.reservation.relay(bytes) {
            return polled;
        }
        self.pay(polled, bytes, context)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.waiting.is_none()
            && match &self.storage {
                Storage::Inline { body } => body.as_ref().is_none_or(Body::is_end_stream),
                Storage::Boxed { stored } => stored.is_end_stream(),
            }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let rest = match &self.storage {
            Storage::Inline { body: Some(body) } => body.size_hint(),
            Storage::Inline { body: None } => SizeHint::with_exact(0),
            Storage::Boxed { stored } => stored.size_hint(),
        };
        match &self.waiting {
            None => rest,
            Some(waiting) => with_frame(&rest, waiting.growth.frame()),
        }
    }
}

impl<B> Guarded<B>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    #[inline]
    fn set_ended(self: Pin<&mut Self>) {
        if let StorageProjection::Boxed { stored } = self.project().storage.project() {
            stored.as_mut().set_ended();
        }
    }

    /// Pays for a frame before it is handed on.
    #[cold]
    #[inline(never)]
    fn pay(mut self: Pin<&mut Self>, polled: Polled<B>, bytes: u64, context: &Context<'_>) -> Polled<B> {
        if self.as_mut().project().reservation.grow_ahead(bytes) {
            return polled;
        }
        self.grow_for(polled, Growth::new(bytes), context)
    }

    #[cold]
    #[inline(never)]
    fn grow_for(mut self: Pin<&mut Self>, polled: Polled<B>, growth: Growth, context: &Context<'_>) -> Polled<B> {
        match self.as_mut().grow(growth, context) {
            Grown::Paid => polled,
            Grown::Refused(error) => Poll::Ready(Some(Err(error))),
            Grown::Waits(growth) => {
                let frame = Mutex::new(Box::new(polled) as _);
                *self.project().waiting = Some(Box::new(Waiting { frame, growth }));
                Poll::Pending
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_waiting(mut self: Pin<&mut Self>, context: &Context<'_>) -> Polled<B> {
        let Some(waiting) = self.as_mut().project().waiting.take() else {
            return Poll::Ready(None);
        };
        let Waiting { frame, growth } = *waiting;
        let frame = frame.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Nothing but such frames is put there.
        let polled = frame.downcast().map_or(Poll::Ready(None), |polled| *polled);
        self.grow_for(polled, growth, context)
    }
}

/// What becomes of a frame that was not paid for.
enum Grown {
    Paid,
    Refused(BodyError),
    Waits(Growth),
}

impl<B: Body + Send + 'static> Guarded<B> {
    /// Pays for a frame.
    #[cold]
    #[inline(never)]
    fn grow(self: Pin<&mut Self>, mut growth: Growth, context: &Context<'_>) -> Grown {
        let mut this = self.project();
        let reservation = this.reservation;
        match reservation.grow(&mut growth, context) {
            Poll::Ready(Ok(())) => Grown::Paid,
            Poll::Ready(Err(refusal)) => {
                if !reservation
                    .context()
                    .is_some_and(|layer| layer.record_refusal(&refusal))
                {
                    reservation.unbind(&growth);
                    return Grown::Paid;
                }
                reservation.cut_off(refusal.clone());
                match take_boxed(this.storage.as_mut()) {
                    // The client is still sending.
                    Some(stored) => reservation.park(stored),
                    None => this.storage.set(Storage::Inline { body: None }),
                }
                Grown::Refused(BodyError::refused(refusal))
            }
            Poll::Pending if reservation.context().is_some_and(|layer| layer.reports_only()) => {
                reservation.grow_unchecked(&mut growth);
                Grown::Paid
            }
            Poll::Pending => Grown::Waits(growth),
        }
    }
}

/// The handler drops the body. If there is more to come, the response may still be a refusal that the client has to read.
#[inline(always)]
fn release<B: Body + Send + 'static>(stored: Boxed<B>, reservation: &BodyReservation) {
    if stored.is_end_stream() {
        put_back(stored);
    } else {
        reservation.park(stored);
    }
}

impl<B: Body + Send + 'static> ParkedBody for StoredBody<B> {
    fn discard(self: Pin<Box<Self>>) {
        put_back(self);
    }

    fn keep(self: Pin<Box<Self>>, context: &LayerContext, note: u8) -> Option<Box<dyn Any + Send>> {
        let linger = &ResponseContext::of(context).linger;
        let policy = linger.policy_after_admission(note & HTTP1 != 0)?;
        Some(Box::new(KeepOnDrop::new(linger.clone(), self, policy)))
    }
}

fn with_frame(rest: &SizeHint, frame: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(frame));
    if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(frame)) {
        hint.set_upper(upper);
    }
    hint
}

impl<B: fmt::Debug> fmt::Debug for Guarded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("reservation", &self.reservation)
            .finish_non_exhaustive()
    }
}
