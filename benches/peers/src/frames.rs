//! A large body, frame by frame.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};

use crate::work::request;

pub const FRAME: usize = 16 << 10;
pub const FRAMES: usize = 4096;
static DATA: [u8; FRAME] = [7; FRAME];

/// 64 MiB in frames of 16 KiB.
pub struct Large {
    left: usize,
    tells_length: bool,
}

impl Body for Large {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&DATA)))))
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        if self.tells_length {
            SizeHint::with_exact((self.left * FRAME) as u64)
        } else {
            SizeHint::default()
        }
    }
}

pub fn large(tells_length: bool) -> Request<Large> {
    let body = Large {
        left: FRAMES,
        tells_length,
    };
    request(Method::PUT, tells_length.then_some(FRAMES * FRAME), body)
}
