//! A service under observation, and requests to it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::{net::TcpListener, sync::oneshot};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_storage_guard::{
    Floor, Guarded, LedgerFigures, Monitor, Reading, StatusService, StorageGuardLayer, TenantFigures, TenantRow,
    test_util::FakeResource,
};

pub(crate) const GIB: u64 = 1 << 30;

/// Two resources, a layer, some tenants, and a monitor that looks when it is told to.
pub(crate) struct Site {
    pub(crate) disk: FakeResource,
    pub(crate) layer: StorageGuardLayer,
    pub(crate) monitor: Monitor,
}

impl Site {
    pub(crate) fn new() -> Self {
        let reading = Reading::new(100 * GIB, 40 * GIB)
            .with_block_size(4096)
            .with_inodes(6_553_600, 5_201_118);
        let disk = FakeResource::with(reading, |builder| builder.name("disk").floor(Floor::bytes(5 * GIB)));
        let memory = FakeResource::with(Reading::new(16 * GIB, 9 * GIB), |builder| {
            builder.name("memory").floor(Floor::percent(10.0))
        });
        let layer = StorageGuardLayer::builder()
            .resource(disk.resource())
            .resource_charged(memory.resource(), tower_storage_guard::Charge::Window(2 << 20))
            .max_body(20 * GIB)
            .build()
            .expect("valid");
        let monitor = Monitor::builder()
            .layer("uploads", &layer)
            .tenants(Tenants)
            .publish_metrics()
            .manual()
            .build()
            .expect("valid");
        Self { disk, layer, monitor }
    }

    pub(crate) fn status(&self) -> StatusService {
        StatusService::new(self.monitor.clone())
    }

    /// Decides about a request of this length, and keeps what it holds if asked to.
    pub(crate) fn upload(&self, bytes: u64) -> (StatusCode, impl Sized + use<>) {
        let mut service = self.layer.layer(service_fn(answers));
        let body = Told(bytes);
        let mut future = Box::pin(service.call(Request::put("/").body(body).unwrap()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Ok(response)) => (response.status(), None),
            std::task::Poll::Ready(Err(_)) => panic!("the guard answers"),
            std::task::Poll::Pending => (StatusCode::CONTINUE, Some(future)),
        }
    }

    /// A quarter of an hour in which the disk fills up and then is full for a while.
    pub(crate) fn live_through_an_afternoon(&self) {
        for second in 0..15 * 60_u64 {
            // In MiB: it fills up, is full for two minutes, and then something is deleted.
            let used = match second {
                0..400 => second * 50,
                400..600 => 20_000 + (second - 400) * 75,
                600..720 => 35_840,
                _ => 12_000 + (second - 720) * 40,
            };
            self.disk.probe().set_available(40 * GIB - (used << 20));
            self.disk.sample();
            if second % 3 == 0 || (600..720).contains(&second) {
                let size = (1 + second % 7) * (90 << 20);
                drop(self.upload(size));
                self.disk.sample();
            }
            if second % 211 == 0 {
                drop(self.upload(21 * GIB));
            }
            self.monitor.tick();
        }
    }
}

/// Keeps the request as one that is being received.
async fn answers<B>(request: Request<Guarded<B>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let _request = request;
    std::future::pending().await
}

/// A body that tells a length and never comes.
struct Told(u64);

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0)
    }
}

struct Tenants;

impl TenantFigures for Tenants {
    fn fullest(&self, at_most: usize) -> Vec<TenantRow> {
        let rows = [
            ("orchard", 10 * GIB, 0, Some(10 * GIB)),
            ("night & day <studio>", 94 * GIB, GIB, Some(100 * GIB)),
            ("harbour-archive", 3 * GIB / 2, 0, Some(5 * GIB)),
            ("lighthouse", 7 * GIB, 0, None),
        ];
        rows.into_iter()
            .take(at_most)
            .map(|(name, used, reserved, limit)| TenantRow {
                name: name.to_owned(),
                used,
                reserved,
                limit,
            })
            .collect()
    }

    fn ledger(&self) -> LedgerFigures {
        LedgerFigures {
            tenants: 1284,
            leased: Some(3 * GIB),
            engine_reachable: Some(true),
            engine_latency: Some(std::time::Duration::from_micros(420)),
            engine_calls: Some(40_213),
            engine_failures: Some(3),
        }
    }
}

/// A real server on a free port; stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    pub(crate) fn start(app: Router) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                sender.send(listener.local_addr().expect("known")).expect("waited for");
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: receiver.recv().expect("it listens"),
            stop: Some(stop),
        }
    }

    /// Answers to `GET /`, as text with its head.
    pub(crate) fn get(&self, target: &str, accept: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

pub(crate) async fn ask<S>(service: S, request: Request<()>) -> (http::response::Parts, String)
where
    S: Service<Request<()>, Response = Response<Full<Bytes>>>,
    S::Error: std::fmt::Debug,
{
    let (parts, body) = service.oneshot(request).await.expect("answers").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (parts, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

/// The status of a request of this length behind a service that answers at once.
pub(crate) fn refuse(layer: &StorageGuardLayer, bytes: u64) -> u16 {
    let mut service = layer.layer(service_fn(|_: Request<Guarded<Told>>| async {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    }));
    let mut future = Box::pin(service.call(Request::put("/").body(Told(bytes)).unwrap()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Ok(response)) => response.status().as_u16(),
        _ => panic!("the guard answers at once"),
    }
}
