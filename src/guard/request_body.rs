use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BodyError;
use crate::{BoxError, admission::BodyHold};

pin_project! {
    /// The request body as the inner service sees it: counts what passes, and breaks off with a [`BodyError`] when a body
    /// of unknown length outgrows what fits.
    ///
    /// After that error the body is at its end. Dropping it gives back what it held as soon as the response is done too.
    #[derive(Debug)]
    pub struct Guarded<B> {
        #[pin]
        body: B,
        hold: Option<BodyHold>,
        is_cut_off: bool,
    }
}

impl<B> Guarded<B> {
    pub(super) fn new(body: B, hold: Option<BodyHold>) -> Self {
        Self {
            body,
            hold,
            is_cut_off: false,
        }
    }
}

impl<B> Body for Guarded<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BodyError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        let this = self.project();
        if *this.is_cut_off {
            return Poll::Ready(None);
        }
        if let Some(hold) = this.hold.as_mut() {
            hold.asked();
        }
        let frame = match this.body.poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyError::inner(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        if let (Some(hold), Some(data)) = (this.hold.as_mut(), frame.data_ref()) {
            // Before the frame is handed on: what is written without room is too late to refuse.
            if let Err(refusal) = hold.relay(data.remaining() as u64) {
                *this.is_cut_off = true;
                return Poll::Ready(Some(Err(BodyError::refused(refusal))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.is_cut_off || self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        if self.is_cut_off {
            SizeHint::with_exact(0)
        } else {
            self.body.size_hint()
        }
    }
}
