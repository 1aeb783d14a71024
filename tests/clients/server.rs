//! A server behind the guard, on a runtime of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::DefaultBodyLimit, http::StatusCode, routing::put};
use http_body_util::BodyExt;
use tokio::{net::TcpListener, runtime::Runtime};
use tower_storage_guard::{Event, Linger, StorageGuardLayer, test_util::FakeResource};

/// What fits.
pub(crate) const FREE: u64 = 1 << 20;

/// More than any buffers between a client and a server take.
pub(crate) const LARGE: u64 = 200_000_000;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) disk: FakeResource,
    refusals: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(linger: Linger) -> Self {
        let disk = FakeResource::new(1 << 40, FREE);
        let refusals = Arc::new(AtomicUsize::new(0));
        let counter = refusals.clone();
        let guard = StorageGuardLayer::builder()
            .resource(disk.resource())
            .linger(linger)
            .observer(move |event: &Event<'_>| {
                if matches!(event, Event::Refused { .. }) {
                    counter.fetch_add(1, Relaxed);
                }
            })
            .build()
            .expect("valid settings");
        let router = Router::new()
            .route("/", put(store))
            .layer(DefaultBodyLimit::disable())
            .layer(guard);
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
            refusals,
            runtime: Some(runtime),
        }
    }

    /// How many requests the guard has refused.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Relaxed)
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
async fn store(mut body: Body) -> Result<String, StatusCode> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        length += frame.data_ref().map_or(0, |data| data.len());
    }
    Ok(length.to_string())
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
