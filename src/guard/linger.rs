#[cfg(all(test, feature = "tokio"))]
mod tests;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Buf;
use http::{HeaderMap, HeaderValue, Version, header::CONNECTION, header::EXPECT, request::Parts};
use http_body::{Body, SizeHint};

/// How a refused HTTP/1 connection is kept for a moment, so that the client reads the answer.
///
/// A client that is still sending when the server closes gets a reset, and with most of them the answer is lost with it
/// (RFC 9112 section 9.6; `docs/clients.md` in the repository tells how often, with and without this). So the request's
/// body is kept for a moment after the answer was written: some of it is read, then it is left alone until the time is up.
///
/// A body that its handler drops before its end is kept until the response is decided, and then in the same way if that is
/// a refusal. (One of at most 64 KiB goes with the handler's: it has arrived, or is on its way in full.)
///
/// Small bodies are read to their end, and the connection stays open, unless that takes longer than `hold_for`. A client
/// that waits for `100 Continue` has sent nothing, and its body is never touched.
///
/// On HTTP/2 only the stream ends. A client that finds it reset while it sends may lose the answer all the same (curl 7.88
/// does), so the stream is reset a little later. What it sends until then is read, because unread bytes of one stream
/// hold up the connection's others.
///
/// Needs the feature `tokio` (on by default) and a Tokio runtime; without them the body is dropped and the connection
/// closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Linger {
    read_at_most: u64,
    hold_for: Duration,
    connections: usize,
    on_http2: bool,
}

/// Bodies up to this are read to their end instead.
pub(super) const SMALL: u64 = 64 << 10;

/// How much more is read of a stream of HTTP/2. By default this makes the window of hyper's server, 1 MiB: what a client
/// may have sent before it has seen the answer.
const HTTP2_FACTOR: u64 = 4;

impl Linger {
    /// Drops the body of a refused request at once.
    pub const fn off() -> Self {
        Self {
            read_at_most: 0,
            hold_for: Duration::ZERO,
            connections: 0,
            on_http2: false,
        }
    }

    /// Sets how many bytes are read and thrown away. Default: 256 KiB. Of a stream of HTTP/2 it is four times as much. The
    /// server itself may read some more, which stays in memory until the connection is let go.
    ///
    /// Some clients send everything before they look for an answer (those built on the library neon, such as cadaver):
    /// they get it only when all they send is read.
    pub const fn read_at_most(mut self, bytes: u64) -> Self {
        self.read_at_most = bytes;
        self
    }

    /// Sets how long a connection is kept at most, to within 100 ms. Default: 1 s.
    pub const fn hold_for(mut self, time: Duration) -> Self {
        self.hold_for = time;
        self
    }

    /// Sets how many connections are kept at once; above that bodies are dropped. Default: 128. Each takes up to half a
    /// MiB of memory (0.26 MiB were measured with the defaults, 0.03 MiB when nothing is read), so a small server keeps
    /// fewer. That a client is gone which has sent more than is read cannot be seen: by default there is room for 128 of
    /// those a second. Connections that stay open, because their body is small, are not counted.
    pub const fn connections(mut self, at_most: usize) -> Self {
        self.connections = at_most;
        self
    }

    /// Whether streams of HTTP/2 are reset a little later as well, instead of at once. Default: yes.
    pub const fn on_http2(mut self, keep: bool) -> Self {
        self.on_http2 = keep;
        self
    }
}

impl Default for Linger {
    fn default() -> Self {
        Self {
            read_at_most: 256 << 10,
            hold_for: Duration::from_secs(1),
            connections: 128,
            on_http2: true,
        }
    }
}

/// The connections that one layer keeps.
#[derive(Debug)]
pub(super) struct LingerState {
    settings: Linger,
    kept: AtomicUsize,
    so_far: AtomicU64,
    overflow: AtomicU64,
}

/// What happens to the body of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainPolicy {
    Drop,
    /// Read all of it: little is left.
    Drain,
    /// Read some of it, then leave it alone for a while.
    Hold,
    /// Read it for a while, but never leave it alone.
    Read,
}

impl LingerState {
    pub(super) fn new(settings: Linger) -> Arc<Self> {
        Arc::new(Self {
            settings,
            kept: AtomicUsize::new(0),
            so_far: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
        })
    }

    /// What to do with a body, and whether the connection must close after the answer.
    pub(super) fn policy(&self, parts: &Parts, length: &SizeHint) -> (DrainPolicy, bool) {
        let is_http1 = is_http1(parts.version);
        match length.exact() {
            Some(0) => (DrainPolicy::Drop, false),
            // To ask for the body would make the server send `100 Continue`.
            _ if expects_continue(&parts.headers) || !self.can_linger() => (DrainPolicy::Drop, is_http1),
            _ if !is_http1 && self.settings.on_http2 => (DrainPolicy::Read, false),
            _ if !is_http1 => (DrainPolicy::Drop, false),
            Some(..=SMALL) => (DrainPolicy::Drain, false),
            _ => (DrainPolicy::Hold, true),
        }
    }

    /// How to keep the body of an admitted request that is refused after all, if that is possible.
    pub(super) fn policy_after_admission(&self, is_http1: bool) -> Option<DrainPolicy> {
        match (self.can_linger(), is_http1) {
            (true, true) => Some(DrainPolicy::Hold),
            (true, false) if self.settings.on_http2 => Some(DrainPolicy::Read),
            _ => None,
        }
    }

    pub(super) fn now(&self) -> usize {
        self.kept.load(Relaxed).min(self.settings.connections)
    }

    pub(super) fn so_far(&self) -> u64 {
        self.so_far.load(Relaxed)
    }

    pub(super) fn overflow(&self) -> u64 {
        self.overflow.load(Relaxed)
    }

    fn can_linger(&self) -> bool {
        let Linger {
            connections, hold_for, ..
        } = self.settings;
        connections > 0 && !hold_for.is_zero() && runtime::is_there()
    }

    /// Keeps the body for a while, or drops it where that is not possible.
    pub(super) fn keep<B: Body + Send + Unpin + 'static>(self: &Arc<Self>, body: B, policy: DrainPolicy) {
        let (read_at_most, hold) = match policy {
            DrainPolicy::Drop => return,
            DrainPolicy::Drain => (SMALL, false),
            DrainPolicy::Hold => (self.settings.read_at_most, true),
            DrainPolicy::Read => (self.settings.read_at_most.saturating_mul(HTTP2_FACTOR), false),
        };
        // Its client was told that the connection stays: it needs no permit, so that none can be missing.
        let permit = if policy == DrainPolicy::Drain {
            None
        } else {
            let Some(permit) = self.acquire_permit() else { return };
            Some(permit)
        };
        runtime::spawn(body, read_at_most, hold, self.settings.hold_for, permit);
    }

    fn acquire_permit(self: &Arc<Self>) -> Option<LingerPermit> {
        if self.kept.fetch_add(1, AcqRel) >= self.settings.connections {
            self.kept.fetch_sub(1, AcqRel);
            self.overflow.fetch_add(1, Relaxed);
            return None;
        }
        self.so_far.fetch_add(1, Relaxed);
        Some(LingerPermit(self.clone()))
    }
}

/// One kept connection; the permit is free again when it is dropped.
struct LingerPermit(Arc<LingerState>);

impl Drop for LingerPermit {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, AcqRel);
    }
}

/// Keeps a body when it is dropped: the answer has been written by then.
///
/// A pointer, since every response body has room for one.
pub(super) struct KeepOnDrop {
    kept: Box<dyn Keep>,
}

trait Keep: Send + Sync {
    fn keep(&mut self);
}

struct Kept<B> {
    linger: Arc<LingerState>,
    /// Never locked: only so that a response body is `Sync`, which some boxes demand.
    body: Mutex<Option<B>>,
    policy: DrainPolicy,
}

impl<B: Body + Send + Unpin + 'static> Keep for Kept<B> {
    fn keep(&mut self) {
        if let Some(body) = self.body.get_mut().ok().and_then(Option::take) {
            self.linger.keep(body, self.policy);
        }
    }
}

impl KeepOnDrop {
    pub(super) fn new<B>(linger: Arc<LingerState>, body: B, policy: DrainPolicy) -> Self
    where
        B: Body + Send + Unpin + 'static,
    {
        Self {
            kept: Box::new(Kept {
                linger,
                body: Mutex::new(Some(body)),
                policy,
            }),
        }
    }
}

impl Drop for KeepOnDrop {
    fn drop(&mut self) {
        self.kept.keep();
    }
}

/// Reads what is there of a small body. Tells whether that was all.
pub(super) fn drain_buffered<B: Body + Unpin>(body: &mut B) -> bool {
    // Whoever reads on is woken by the next frame.
    poll_read(body, &mut { SMALL }, &mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
}

/// Reads until the body ends or no bytes are left to read. Tells whether it ended.
fn poll_read<B: Body + Unpin>(body: &mut B, left: &mut u64, context: &mut Context<'_>) -> Poll<bool> {
    while *left > 0 {
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(1, |data| data.remaining() as u64);
                *left = left.saturating_sub(bytes.max(1));
            }
            None | Some(Err(_)) => return Poll::Ready(true),
        }
    }
    Poll::Ready(body.is_end_stream())
}

impl fmt::Debug for KeepOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepOnDrop").finish_non_exhaustive()
    }
}

/// On HTTP/2 the header is forbidden (RFC 9113 section 8.2.2).
pub(super) fn is_http1(version: Version) -> bool {
    version <= Version::HTTP_11
}

pub(super) fn insert_close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(&EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(feature = "tokio")]
mod runtime {
    use std::{
        future::{Future, poll_fn},
        pin::Pin,
        task::Poll,
        time::Duration,
    };

    use http_body::Body;
    use tokio::runtime::Handle;

    use super::{LingerPermit, poll_read};
    use crate::background::Deadline;

    pub(super) fn is_there() -> bool {
        Handle::try_current().is_ok()
    }

    pub(super) fn spawn<B>(body: B, read_at_most: u64, hold: bool, time: Duration, permit: Option<LingerPermit>)
    where
        B: Body + Send + Unpin + 'static,
    {
        // Dropped outside of a runtime, as when the server is gone already.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut deadline = Deadline::after(time);
        runtime.spawn(async move {
            let _permit = permit;
            let mut body = body;
            let ended = read(&mut body, read_at_most, &mut deadline).await;
            if hold && !ended {
                deadline.await;
            }
        });
    }

    /// Reads up to so many bytes. Tells whether the body or the time is at its end.
    async fn read<B: Body + Unpin>(body: &mut B, at_most: u64, deadline: &mut Deadline) -> bool {
        let mut left = at_most;
        poll_fn(|context| match poll_read(body, &mut left, context) {
            // After the body: on a busy machine its end may be here when the time is up.
            Poll::Pending => Pin::new(&mut *deadline).poll(context).map(|_| true),
            ended => ended,
        })
        .await
    }
}

#[cfg(not(feature = "tokio"))]
mod runtime {
    use std::time::Duration;

    use http_body::Body;

    use super::LingerPermit;

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn spawn<B: Body>(_: B, _: u64, _: bool, _: Duration, _: Option<LingerPermit>) {}
}
