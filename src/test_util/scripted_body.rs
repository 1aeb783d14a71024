use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A request body that does what its script says, step by step.
///
/// ```
/// use tower_storage_guard::test_util::ScriptedBody;
///
/// // Of unknown length, breaks off after two frames.
/// let body = ScriptedBody::new().data(100).pause().data(50).error("connection reset");
/// # let _ = body;
/// ```
#[derive(Debug, Default)]
pub struct ScriptedBody {
    steps: VecDeque<Step>,
    length: Option<u64>,
}

#[derive(Debug)]
enum Step {
    Data(usize),
    Trailers,
    Pause,
    Hang,
    Error(String),
}

impl ScriptedBody {
    /// A body that ends at once, of a length it does not tell.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Then a frame of this many bytes.
    #[must_use]
    pub fn data(self, bytes: usize) -> Self {
        self.step(Step::Data(bytes))
    }

    /// Then trailers.
    #[must_use]
    pub fn trailers(self) -> Self {
        self.step(Step::Trailers)
    }

    /// Then nothing once, and it asks to be polled again.
    #[must_use]
    pub fn pause(self) -> Self {
        self.step(Step::Pause)
    }

    /// Then nothing more, for ever: like a client that stopped sending.
    #[must_use]
    pub fn hang(self) -> Self {
        self.step(Step::Hang)
    }

    /// Then an error.
    #[must_use]
    pub fn error(self, words: impl Into<String>) -> Self {
        self.step(Step::Error(words.into()))
    }

    /// Tells that it has this length in bytes, whether that is true or not.
    #[must_use]
    pub fn telling_length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(bytes)) => Poll::Ready(Some(Ok(Frame::data(zeros(bytes))))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Pause) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Hang) => {
                self.steps.push_front(Step::Hang);
                Poll::Pending
            }
            Some(Step::Error(words)) => {
                self.steps.clear();
                Poll::Ready(Some(Err(ScriptError(words))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Frames of the usual sizes cost no allocation, so that tests can send a great many.
fn zeros(bytes: usize) -> Bytes {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    ZEROS
        .get(..bytes)
        .map_or_else(|| Bytes::from(vec![0; bytes]), Bytes::from_static)
}

/// The error that a [`ScriptedBody`] was told to end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(String);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ScriptError {}
