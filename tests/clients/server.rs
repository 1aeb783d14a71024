//! A server behind the guard, on a runtime of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, runtime::Runtime};
use tower_storage_guard::{Event, Linger, StorageGuardBuilder, StorageGuardLayer, test_util::FakeResource};

/// What fits.
pub(crate) const FREE: u64 = 1 << 20;

/// More than any buffers between a client and a server take.
pub(crate) const LARGE: u64 = 200_000_000;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) disk: FakeResource,
    pub(crate) layer: StorageGuardLayer,
    refusals: Arc<AtomicUsize>,
    seen: Log,
    runtime: Option<Runtime>,
}

/// What the handler has seen of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: u64,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    /// By an error.
    Broken,
    /// The server gave the handler up.
    Dropped,
}

type Log = Arc<Mutex<Vec<Seen>>>;

impl Server {
    pub(crate) fn start(linger: Linger) -> Self {
        Self::with(|guard| guard.linger(linger))
    }

    pub(crate) fn with(settings: impl FnOnce(StorageGuardBuilder) -> StorageGuardBuilder) -> Self {
        let disk = FakeResource::new(1 << 40, FREE);
        let refusals = Arc::new(AtomicUsize::new(0));
        let counter = refusals.clone();
        let guard = StorageGuardLayer::builder()
            .resource(disk.resource())
            .observer(move |event: &Event<'_>| {
                if matches!(event, Event::Refused { .. }) {
                    counter.fetch_add(1, Relaxed);
                }
            });
        let layer = settings(guard).build().expect("valid settings");
        let seen = Log::default();
        let router = Router::new()
            .fallback(store)
            .layer(DefaultBodyLimit::disable())
            .layer(layer.clone())
            .with_state(seen.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            disk,
            layer,
            refusals,
            seen,
            runtime: Some(runtime),
        }
    }

    /// How many requests the guard has refused.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Relaxed)
    }

    /// The bodies that reached the handler, in the order in which they ended.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Takes the last one off [`seen`](Self::seen).
    pub(crate) fn forget_last_seen(&self) {
        self.seen.lock().expect("no panic").pop();
    }

    /// How many tasks there are beside the one that accepts.
    pub(crate) fn tasks(&self) -> usize {
        let runtime = self.runtime.as_ref().expect("runs");
        runtime.metrics().num_alive_tasks() - 1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Reads its body frame by frame, and tells how long it was.
async fn store(State(log): State<Log>, mut body: Body) -> Result<String, StatusCode> {
    let mut reading = Reading {
        seen: Seen {
            bytes: 0,
            ending: Ending::Dropped,
        },
        log,
    };
    let seen = &mut reading.seen;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            seen.ending = Ending::Broken;
            StatusCode::BAD_REQUEST
        })?;
        seen.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    seen.ending = Ending::Whole;
    Ok(seen.bytes.to_string())
}

/// Is told of when it ends, however it does.
struct Reading {
    seen: Seen,
    log: Log,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.log.lock().expect("no panic").push(self.seen);
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
