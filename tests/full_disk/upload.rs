//! Request bodies whose bytes can be recognised afterwards.

use std::{
    fs, io,
    path::Path,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};

/// Splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, number: u64) -> bool {
        self.next() % number == 0
    }
}

/// What a file should hold: a stretch of a random sequence that repeats itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    start: usize,
    pub(crate) length: usize,
}

/// A prime, so that no block of a file system equals the next one.
const PERIOD: usize = 1_048_573;

impl Content {
    pub(crate) fn new(seed: u64, length: usize) -> Self {
        Self {
            start: (seed % PERIOD as u64) as usize,
            length,
        }
    }

    /// At most this many bytes from a position on; none at the end only.
    fn piece(&self, position: usize, most: usize) -> Bytes {
        static SEQUENCE: OnceLock<Bytes> = OnceLock::new();
        let sequence = SEQUENCE.get_or_init(|| {
            let mut random = Random::new(0);
            (0..PERIOD).map(|_| random.next() as u8).collect()
        });
        let begin = (self.start + position) % PERIOD;
        let length = most.min(self.length - position).min(PERIOD - begin);
        sequence.slice(begin..begin + length)
    }

    /// Whether the file holds just this; if not, what is wrong with it.
    pub(crate) fn check(&self, path: &Path) -> Result<(), String> {
        let found = fs::read(path).map_err(|error| error.to_string())?;
        if found.len() != self.length {
            return Err(format!("{} bytes instead of {}", found.len(), self.length));
        }
        let mut position = 0;
        while position < self.length {
            let expected = self.piece(position, PERIOD);
            let here = &found[position..position + expected.len()];
            if here != expected {
                let differs = here.iter().zip(&expected).position(|(here, expected)| here != expected);
                return Err(format!("differs from byte {} on", position + differs.unwrap_or(0)));
            }
            position += expected.len();
        }
        Ok(())
    }
}

/// Bytes in a frame, at most.
const FRAME: usize = 64 << 10;

/// A request body, frame by frame.
pub(crate) struct Upload {
    content: Content,
    sent: usize,
    tells_length: bool,
    ending: Ending,
    pauses: bool,
}

/// How a body ends.
pub(crate) enum Ending {
    Complete,
    /// Fails after this many bytes.
    Error(usize),
    /// Tells somebody after this many bytes, and then says nothing more.
    Silence(usize, Option<oneshot::Sender<()>>),
}

impl Upload {
    pub(crate) fn new(content: Content) -> Self {
        Self {
            content,
            sent: 0,
            tells_length: true,
            ending: Ending::Complete,
            pauses: false,
        }
    }

    pub(crate) fn without_length(mut self) -> Self {
        self.tells_length = false;
        self
    }

    pub(crate) fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    fn ends_at(&self) -> usize {
        match self.ending {
            Ending::Complete => self.content.length,
            Ending::Error(at) | Ending::Silence(at, _) => at,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // Lets the others run between any two frames, as a network does.
        self.pauses = !self.pauses;
        if self.pauses {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = self.ends_at() - self.sent;
        if rest > 0 {
            let piece = self.content.piece(self.sent, FRAME.min(rest));
            self.sent += piece.len();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut self.ending {
            Ending::Complete => Poll::Ready(None),
            Ending::Error(_) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Ending::Silence(_, reached) => {
                if let Some(reached) = reached.take() {
                    let _ = reached.send(());
                }
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.tells_length {
            SizeHint::with_exact((self.content.length - self.sent) as u64)
        } else {
            SizeHint::default()
        }
    }
}

/// A request body of known length that sends each frame only when it is told to.
pub(crate) struct Paced {
    content: Content,
    sent: usize,
    pace: mpsc::UnboundedReceiver<usize>,
    waits: mpsc::UnboundedSender<()>,
    told: bool,
}

/// Tells a [`Paced`] body what to do.
pub(crate) struct Pacer {
    content: Content,
    pace: mpsc::UnboundedSender<usize>,
    waits: mpsc::UnboundedReceiver<()>,
}

impl Paced {
    pub(crate) fn new(content: Content) -> (Self, Pacer) {
        let (pace_in, pace) = mpsc::unbounded_channel();
        let (waits, waits_out) = mpsc::unbounded_channel();
        let body = Self {
            content,
            sent: 0,
            pace,
            waits,
            told: false,
        };
        (
            body,
            Pacer {
                content,
                pace: pace_in,
                waits: waits_out,
            },
        )
    }
}

impl Pacer {
    /// Waits until the handler wants the next frame; `false` when it will never want one again.
    pub(crate) async fn is_asked(&mut self) -> bool {
        self.waits.recv().await.is_some()
    }

    /// Lets a frame of at most this many bytes go.
    pub(crate) fn send(&self, bytes: usize) {
        // The body may be gone already.
        let _ = self.pace.send(bytes);
    }

    /// Lets all go.
    pub(crate) fn send_all(&self) {
        // A frame ends where the sequence repeats itself.
        (0..self.content.length / PERIOD + 2).for_each(|_| self.send(PERIOD));
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.sent == self.content.length {
            return Poll::Ready(None);
        }
        match self.pace.poll_recv(context) {
            Poll::Ready(Some(most)) => {
                let piece = self.content.piece(self.sent, most);
                self.sent += piece.len();
                self.told = false;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(None) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Poll::Pending => {
                if !self.told {
                    self.told = true;
                    let _ = self.waits.send(());
                }
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.content.length - self.sent) as u64)
    }
}
