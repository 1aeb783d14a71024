//! The server: the guard with a disk, memory and tenants, on a runtime of its own.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, Version},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{any, get},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tower_storage_guard::{
    Charge, DiskProbe, FailurePolicy, Fallback, Floor, Leasing, Ledger, Limit, MemoryProbe, RedisStore, Refusal,
    Resource, StorageGuardLayer, TenantFrom, WriteBuffer,
};

use crate::{
    files::{self, Files},
    options::Broken,
    probe::{Hanging, Switch},
    redis_server::RedisServer,
    store::Store,
    tally::Tally,
    turns,
};

pub(crate) const FLOOR: u64 = 3 << 20;
pub(crate) const TENANTS: u64 = 6;
/// All together may store more than there is room for.
pub(crate) const TENANT_LIMIT: u64 = 12 << 20;
pub(crate) const TENANT: HeaderName = HeaderName::from_static("x-tenant");
/// Which request it is; the answer says it again.
pub(crate) const NUMBER: HeaderName = HeaderName::from_static("x-number");

/// After so long without a reading nobody knows, and everything is refused.
const PATIENCE: Duration = Duration::from_millis(800);

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) disk: Resource,
    pub(crate) memory: Resource,
    pub(crate) guard: StorageGuardLayer,
    pub(crate) ledger: Ledger,
    pub(crate) probe: Switch,
    pub(crate) runtime: Runtime,
}

/// When a request came, before anything was decided.
#[derive(Clone, Copy)]
pub(crate) struct Came(pub(crate) Instant);

impl Site {
    pub(crate) fn start(dir: &Path, redis: Option<&RedisServer>, tally: &Arc<Tally>, broken: &[Broken]) -> Self {
        let store = Store::open(dir).expect("the directory can be used");
        let probe = Switch::default();
        let disk = Resource::builder("disk", Hanging::new(DiskProbe::new(dir), probe.clone()))
            .floor(Floor::bytes(FLOOR))
            .max_age(PATIENCE)
            .on_probe_failure(FailurePolicy::Hold {
                at_most: PATIENCE / 2,
                then: Fallback::Closed,
            })
            .build()
            .expect("the disk can be measured");
        let memory = Resource::builder("memory", MemoryProbe::new())
            .floor(Floor::bytes(16 << 20))
            .build()
            .expect("the memory can be measured");
        let ledger = ledger(redis);
        let guard = StorageGuardLayer::builder()
            .resource(disk.clone())
            .resource_charged(memory.clone(), Charge::Window(2 << 20))
            .tenant(ledger.clone(), TenantFrom::header(TENANT))
            // Handlers write what they receive.
            .write_buffer(WriteBuffer::Bytes(8 << 20))
            .build()
            .expect("valid settings");
        let files = Files {
            store,
            root: dir.into(),
            disk: disk.clone(),
            tally: tally.clone(),
            broken: broken.into(),
        };
        let forgets = broken.contains(&Broken::Answer);
        let app = Router::new()
            .route("/files/{name}", get(files::get).put(files::put).delete(files::remove))
            .route("/dirs/{name}", any(files::directory))
            .with_state(files)
            .layer(guard.clone())
            .layer(tower::util::MapResponseLayer::new(turns::end))
            .layer(from_fn_with_state((tally.clone(), forgets), count));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            // So that idle threads are gone when they are counted.
            .thread_keep_alive(Duration::from_millis(500))
            .enable_all()
            .build()
            .expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            disk,
            memory,
            guard,
            ledger,
            probe,
            runtime,
        }
    }
}

pub(crate) fn tenant(number: u64) -> String {
    format!("tenant-{}", number % TENANTS)
}

fn ledger(redis: Option<&RedisServer>) -> Ledger {
    let mut ledger = Ledger::builder().default_limit(Limit::bytes(TENANT_LIMIT));
    if let Some(redis) = redis {
        let store = RedisStore::new(&redis.url()).expect("a URL");
        let leasing = Leasing::new(store)
            .node("soak")
            .chunk(1 << 20)
            .ttl(Duration::from_secs(2));
        ledger = ledger.leasing(leasing);
    }
    ledger.build().expect("valid settings")
}

/// Outside of everything: each request that comes has one answer, or is given up with its client.
async fn count(State((tally, forgets)): State<(Arc<Tally>, bool)>, mut request: Request, next: Next) -> Response {
    let entered = tally.server.entered.fetch_add(1, Relaxed);
    let mut pending = Pending { tally, answered: false };
    request.extensions_mut().insert(Came(Instant::now()));
    let number = request.headers().get(NUMBER).cloned();
    if forgets && entered % 100 == 99 {
        std::future::pending::<()>().await;
    }
    let is_http1 = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if let Some(number) = number {
        if is_http1 && response.extensions().get::<Refusal>().is_some() {
            let number = number.to_str().ok().and_then(|number| number.parse().ok());
            pending.tally.server.closes_after(number.expect("a number"));
        }
        response.headers_mut().insert(NUMBER, number);
    }
    pending.answered = true;
    response
}

struct Pending {
    tally: Arc<Tally>,
    answered: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let counter = match self.answered {
            true => &self.tally.server.answered,
            false => &self.tally.server.given_up,
        };
        counter.fetch_add(1, Relaxed);
    }
}
