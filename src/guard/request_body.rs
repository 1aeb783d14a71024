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
    answering::{Answering, HTTP1},
    linger::KeepOnDrop,
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
            if let Some(waiting) = this.waiting {
                this.reservation.abandon(&mut waiting.growth);
            }
            if let StorageProjection::Tracked { stored } = this.storage.project() {
                if let Some(stored) = stored.take() {
                    let release = stored.release;
                    release(stored, this.reservation);
                }
            }
        }
    }
}

pin_project! {
    #[project = StorageProjection]
    enum Storage<B> {
        // Nothing is reserved for it, and nothing counts.
        Untracked { #[pin] body: B },
        // None once it is cut off.
        Tracked { stored: Option<Boxed<B>> },
    }
}

struct Waiting {
    /// A `Frame`, without its type: the body's type must not need bounds where it is only named. Behind a lock that is
    /// never contended, because data need not be `Sync` and the body should be.
    frame: Mutex<Box<dyn Any + Send>>,
    growth: Growth,
}

impl<B> Guarded<B> {
    #[inline(always)]
    pub(super) fn untracked(body: B) -> Self {
        Self {
            storage: Storage::Untracked { body },
            waiting: None,
            reservation: BodyReservation::none(),
        }
    }
}

impl<B: Body + Send + 'static> Guarded<B> {
    #[inline(always)]
    pub(super) fn new(body: B, reservation: BodyReservation) -> Self {
        if !reservation.is_some() {
            return Self::untracked(body);
        }
        let stored = Some(store(body, release));
        Self {
            storage: Storage::Tracked { stored },
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
        let stored = match this.storage.project() {
            StorageProjection::Untracked { body } => {
                return body
                    .poll_frame(context)
                    .map(|frame| frame.map(|frame| frame.map_err(BodyError::inner)));
            }
            StorageProjection::Tracked { stored } => stored,
        };
        if this.waiting.is_some() {
            return self.poll_waiting(context);
        }
        let Some(stored) = stored else {
            return Poll::Ready(None);
        };
        this.reservation.before_frame();
        let frame = match stored.as_mut().poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyError::inner(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        if let Some(data) = frame.data_ref() {
            // Before the frame is handed on: what is written without room is too late to refuse.
            if let Err(growth) = this.reservation.relay(data.remaining() as u64) {
                return self.grow(frame, growth, context);
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.storage {
            Storage::Untracked { body } => body.is_end_stream(),
            Storage::Tracked { stored } => {
                self.waiting.is_none() && stored.as_ref().is_none_or(|stored| stored.is_end_stream())
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let rest = match &self.storage {
            Storage::Untracked { body } => body.size_hint(),
            Storage::Tracked { stored: Some(stored) } => stored.size_hint(),
            Storage::Tracked { stored: None } => SizeHint::with_exact(0),
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
    #[cold]
    fn poll_waiting(mut self: Pin<&mut Self>, context: &Context<'_>) -> Polled<B> {
        let Some(waiting) = self.as_mut().project().waiting.take() else {
            return Poll::Ready(None);
        };
        let Waiting { frame, growth } = *waiting;
        match frame.into_inner().unwrap_or_else(PoisonError::into_inner).downcast() {
            Ok(frame) => self.grow(*frame, growth, context),
            // None but such frames are put there.
            Err(_) => Poll::Ready(None),
        }
    }

    /// Hands a frame on as soon as it is paid for.
    #[cold]
    fn grow(self: Pin<&mut Self>, frame: Frame<B::Data>, mut growth: Growth, context: &Context<'_>) -> Polled<B> {
        let this = self.project();
        let reservation = this.reservation;
        match reservation.grow(&mut growth, context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(refusal)) => {
                if reservation
                    .context()
                    .is_some_and(|layer| layer.record_refusal(&refusal))
                {
                    reservation.cut_off(refusal.clone());
                    if let StorageProjection::Tracked { stored } = this.storage.project() {
                        // The client is still sending.
                        stored.take().into_iter().for_each(|stored| reservation.park(stored));
                    }
                    return Poll::Ready(Some(Err(BodyError::refused(refusal))));
                }
                reservation.unbind(&growth);
            }
            Poll::Pending => {
                if !reservation.context().is_some_and(|layer| layer.reports_only()) {
                    let frame = Mutex::new(Box::new(frame) as _);
                    *this.waiting = Some(Box::new(Waiting { frame, growth }));
                    return Poll::Pending;
                }
                reservation.grow_unchecked(&mut growth);
            }
        }
        Poll::Ready(Some(Ok(frame)))
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
        let linger = &Answering::of(context).linger;
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
