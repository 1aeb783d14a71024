//! A dropped layer leaves nothing behind once no request is under way. Until then its requests keep all that they need.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, Service, service_fn};
use tower_storage_guard::{
    CapacityProbe, Event, Floor, Guarded, Ledger, Limit, Observer, ProbeError, Reading, Reason, Refusal, RenderContext,
    Renderer, Resource, StorageGuardLayer, TenantFrom,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts refusals. Sends a word when it is dropped.
struct Watcher {
    refusals: Arc<AtomicUsize>,
    gone: mpsc::Sender<()>,
}

impl Observer for Watcher {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Refused { .. }) {
            self.refusals.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.gone.send(());
    }
}

/// Answers with a status of its own. Sends a word when it is dropped.
struct Teapot(Mutex<mpsc::Sender<()>>);

impl Renderer for Teapot {
    fn render(&self, _: &Refusal, _: &RenderContext<'_>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from_static(b"full"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    }
}

impl Drop for Teapot {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().send(());
    }
}

/// Sends a word when it is dropped.
struct Probe(mpsc::Sender<()>);

impl CapacityProbe for Probe {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        Ok(Reading::new(1 << 40, 1 << 40))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[track_caller]
fn assert_gone(gone: &mpsc::Receiver<()>, what: &str) {
    assert!(gone.recv_timeout(PATIENCE).is_ok(), "{what} is kept alive");
}

/// A layer with everything that it can keep alive, and the ends of what it keeps.
struct Site {
    layer: StorageGuardLayer,
    disk: FakeResource,
    ledger: Ledger,
    refusals: Arc<AtomicUsize>,
    observer: mpsc::Receiver<()>,
    renderer: mpsc::Receiver<()>,
}

/// With room for 100,000 bytes on the disk, and less for the tenant `t`.
fn site(quota: u64) -> Site {
    let disk = FakeResource::new(1_000_000, 100_000);
    let ledger = Ledger::builder().default_limit(Limit::bytes(quota)).build().unwrap();
    let refusals = Arc::new(AtomicUsize::new(0));
    let (gone, observer) = mpsc::channel();
    let watcher = Watcher {
        refusals: refusals.clone(),
        gone,
    };
    let (gone, renderer) = mpsc::channel();
    let layer = guarding(disk.resource())
        .tenant(ledger.clone(), TenantFrom::header(TENANT))
        .observer(watcher)
        .renderer(Teapot(Mutex::new(gone)));
    Site {
        layer: layer.build().unwrap(),
        disk,
        ledger,
        refusals,
        observer,
        renderer,
    }
}

fn upload(body: ScriptedBody) -> Request<ScriptedBody> {
    Request::put("/").header(TENANT, "t").body(body).unwrap()
}

/// A thread that served requests of every kind and then does nothing more.
#[test]
fn idle_thread_keeps_nothing_of_a_dropped_layer() {
    let Site {
        layer,
        disk,
        ledger,
        observer,
        renderer,
        ..
    } = site(1 << 40);
    let (sender, served) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let idle = thread::spawn(move || {
        for body in [
            chunks(&[10]).telling_length(10),
            chunks(&[10, 10]),
            chunks(&[60_000, 60_000]),
            ScriptedBody::new().telling_length(500_000),
            ScriptedBody::new().telling_length(0),
        ] {
            let mut service = layer.layer(service_fn(reads_all));
            let answered = service.call(upload(body)).now_or_never();
            drop(answered.expect("nothing to wait for"));
        }
        drop(layer);
        sender.send(()).unwrap();
        let _ = may_leave.recv();
    });
    served.recv().unwrap();
    observer.try_recv().expect("the observer is gone at once");
    renderer.try_recv().expect("the renderer is gone at once");
    assert_eq!(disk.report().held, 0);
    assert_eq!(ledger.usage("t").reserved, 0);
    drop(leave);
    idle.join().unwrap();
}

/// The layer is dropped elsewhere than where its requests were served.
#[test]
fn layer_dropped_by_another_thread_is_gone_at_once() {
    let Site { layer, observer, .. } = site(1 << 40);
    let (sender, served) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let mut service = layer.layer(service_fn(reads_all));
    let idle = thread::spawn(move || {
        for _ in 0..100 {
            let answered = service.call(upload(chunks(&[10]).telling_length(10))).now_or_never();
            drop(answered.expect("nothing to wait for"));
        }
        drop(service);
        sender.send(()).unwrap();
        let _ = may_leave.recv();
    });
    served.recv().unwrap();
    observer.try_recv().expect_err("the layer is alive");
    drop(layer);
    observer.try_recv().expect("the observer is gone at once");
    drop(leave);
    idle.join().unwrap();
}

#[test]
fn sampler_of_a_dropped_layer_ends() {
    let (gone, probe) = mpsc::channel();
    let resource = Resource::builder("watched", Probe(gone)).floor(Floor::NONE);
    let layer = guarding(resource.build().unwrap()).build().unwrap();
    let (sender, served) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let idle = thread::spawn(move || {
        let mut service = layer.layer(service_fn(reads_all));
        for body in [chunks(&[10]).telling_length(10), chunks(&[10, 10])] {
            let answered = service.call(put(body)).now_or_never();
            drop(answered.expect("nothing to wait for"));
        }
        drop((service, layer));
        sender.send(()).unwrap();
        let _ = may_leave.recv();
    });
    served.recv().unwrap();
    assert_gone(&probe, "the sampler");
    drop(leave);
    idle.join().unwrap();
}

async fn collects(request: Request<Guarded<ScriptedBody>>) -> Result<Response<Full<Bytes>>, BoxError> {
    request.into_body().collect().await?;
    Ok(Response::default())
}

/// Cut off by the disk, and by the tenant's limit.
#[tokio::test]
async fn request_outlives_its_layer_and_is_refused() {
    for (quota, told) in [(1 << 40, Reason::Space), (70_000, Reason::ExceedsQuota)] {
        let Site {
            layer,
            disk,
            ledger,
            refusals,
            observer,
            renderer,
        } = site(quota);
        let body = ScriptedBody::new().data(60_000).pause().data(60_000);
        let mut service = layer.layer(service_fn(collects));
        let mut under_way = Box::pin(service.call(upload(body)));
        assert!(futures_util::poll!(&mut under_way).is_pending());
        drop((service, layer));
        assert!(ledger.usage("t").reserved >= 60_000, "it goes on");
        observer.try_recv().expect_err("it may be needed");

        let response = under_way.await.unwrap();
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT, "by the layer's renderer");
        assert_eq!(reason(&response), Some(told));
        assert_eq!(refusals.load(Relaxed), 1, "the layer's observer");
        drop(response);
        assert_gone(&observer, "the observer");
        assert_gone(&renderer, "the renderer");
        assert_eq!((ledger.usage("t").used, ledger.usage("t").reserved), (0, 0));
        assert_eq!(disk.report().held, 0);
    }
}

#[tokio::test]
async fn request_outlives_its_layer_and_is_charged() {
    let Site {
        layer,
        disk,
        ledger,
        observer,
        renderer,
        ..
    } = site(1 << 40);
    let body = ScriptedBody::new().data(10).pause().data(10);
    let mut service = layer.layer(service_fn(collects));
    let mut under_way = Box::pin(service.call(upload(body)));
    assert!(futures_util::poll!(&mut under_way).is_pending());
    drop((service, layer));
    assert_eq!(under_way.await.unwrap().status(), 200);
    assert_eq!((ledger.usage("t").used, ledger.usage("t").reserved), (20, 0));
    let report = disk.report();
    assert_eq!((report.held, report.unseen), (0, 20));
    assert_gone(&observer, "the observer");
    assert_gone(&renderer, "the renderer");
}

/// The request is answered, but its body is still read.
#[tokio::test]
async fn body_outlives_its_layer_and_ends_elsewhere() {
    let Site {
        layer,
        disk,
        ledger,
        refusals,
        observer,
        ..
    } = site(1 << 40);
    let (sender, receiver) = mpsc::channel();
    let mut service = layer.layer(service_fn(move |request: Request<Guarded<ScriptedBody>>| {
        sender.send(request.into_body()).unwrap();
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
    }));
    let answered = service.call(upload(chunks(&[60_000, 60_000]))).await.unwrap();
    assert_eq!(answered.status(), 200);
    let mut body = receiver.recv().unwrap();
    drop((answered, service, layer));
    assert!(body.frame().await.unwrap().is_ok());
    assert!(disk.report().held >= 60_000);
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.refusal().map(Refusal::reason), Some(Reason::Space));
    assert_eq!(refusals.load(Relaxed), 1, "the layer's observer");
    thread::spawn(move || drop(body)).join().unwrap();
    let report = disk.report();
    assert_eq!((report.held, report.unseen), (0, 60_000));
    assert_eq!(ledger.usage("t").reserved, 0);
    drop(error);
    assert_gone(&observer, "the observer");
}

/// A request that is given up after its layer.
#[tokio::test]
async fn sampler_ends_with_the_last_request() {
    let (gone, probe) = mpsc::channel();
    let resource = Resource::builder("watched", Probe(gone)).floor(Floor::NONE);
    let layer = guarding(resource.build().unwrap()).build().unwrap();
    let mut service = layer.layer(service_fn(collects));
    let mut under_way = Box::pin(service.call(put(ScriptedBody::new().data(10).hang())));
    assert!(futures_util::poll!(&mut under_way).is_pending());
    drop((service, layer));
    probe.try_recv().expect_err("a request is under way");
    thread::spawn(move || drop(under_way)).join().unwrap();
    assert_gone(&probe, "the sampler");
}
