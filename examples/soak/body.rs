//! The bodies that clients send.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// In pieces, with or without its length, and perhaps not to its end.
pub(crate) struct Sent {
    content: Bytes,
    piece: usize,
    /// Where the client goes away.
    cut: Option<usize>,
    /// Where it waits for an answer.
    stall: Option<usize>,
    at: usize,
    tells_length: bool,
}

impl Sent {
    pub(crate) fn whole(content: impl Into<Bytes>) -> Self {
        Self {
            content: content.into(),
            piece: 32 << 10,
            cut: None,
            stall: None,
            at: 0,
            tells_length: true,
        }
    }

    pub(crate) fn chunked(self, piece: usize) -> Self {
        Self {
            piece: piece.max(1),
            tells_length: false,
            ..self
        }
    }

    pub(crate) fn stall(self, at: usize) -> Self {
        Self {
            stall: Some(at),
            tells_length: false,
            ..self
        }
    }

    pub(crate) fn cut(self, at: usize) -> Self {
        Self { cut: Some(at), ..self }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let end = self.cut.unwrap_or(self.content.len());
        if self.at < end {
            let next = end.min(self.at + self.piece);
            let piece = self.content.slice(self.at..next);
            self.at = next;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if self.stall == Some(self.at) {
            // Whoever answers ends it.
            return Poll::Pending;
        }
        Poll::Ready(self.cut.map(|_| Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.stall.is_none() && self.at == self.content.len()
    }

    fn size_hint(&self) -> SizeHint {
        match self.tells_length {
            true => SizeHint::with_exact((self.content.len() - self.at) as u64),
            false => SizeHint::default(),
        }
    }
}
