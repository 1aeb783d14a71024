use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, layer::Answering};
use crate::{BoxError, admission::BodyHold, capacity::Refusal};

/// The request body as the inner service sees it: counts what passes, and breaks off with a [`BodyError`] when a body of
/// unknown length outgrows what fits.
///
/// After that error the body is at its end. Dropping it gives back what it held as soon as the response is done too.
pub struct Guarded<B> {
    /// Gone when it was cut off.
    body: Option<B>,
    held: Option<Held>,
}

/// What a body that is counted has beside it.
pub(super) struct Held {
    hold: BodyHold<Answering>,
    is_http1: bool,
}

impl<B> Guarded<B> {
    /// Without what is held a body is not counted.
    #[inline(always)]
    pub(super) fn new(body: B, held: Option<Held>) -> Self {
        Self { body: Some(body), held }
    }
}

impl Held {
    #[inline]
    pub(super) fn new(hold: BodyHold<Answering>, is_http1: bool) -> Self {
        Self { hold, is_http1 }
    }
}

impl<B> Body for Guarded<B>
where
    B: Body + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BodyError;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Some(held) = &mut this.held {
            ready!(held.hold.asked(context));
        }
        let frame = match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyError::inner(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        if let (Some(held), Some(data)) = (&mut this.held, frame.data_ref()) {
            // Before the frame is handed on: what is written without room is too late to refuse.
            if let Err(refusal) = held.hold.relay(data.remaining() as u64) {
                return Poll::Ready(Some(Err(this.cut_off(refusal))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body + Send + Unpin + 'static> Guarded<B> {
    /// The client is still sending; the handler's answer comes in a moment.
    #[cold]
    fn cut_off(&mut self, refusal: Refusal) -> BodyError {
        if let (Some(body), Some(held)) = (self.body.take(), &self.held) {
            // Keeps the connection for a moment.
            let lingering = &held.hold.context().lingering;
            lingering.keep(body, lingering.farewell_mid_stream(held.is_http1));
        }
        BodyError::refused(refusal)
    }
}

impl<B: fmt::Debug> fmt::Debug for Guarded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
