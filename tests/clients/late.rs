//! A handler that finds the disk full while its client sends: it drops the body, and the client reads the refusal.

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, header::CONTENT_LENGTH, header::HOST};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client, server,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tower::{BoxError, Layer, service_fn};
use tower_storage_guard::{Guarded, Linger, StorageFailure, StorageGuardLayer, test_util::FakeResource};

use crate::{
    raw::{Client, End, PATIENCE},
    server::{LARGE, eventually},
};

const CLIENTS: usize = 20;

/// So much is written before the disk is full.
const WRITTEN: u64 = 1 << 20;

/// The rest of the body, which the guard reads. A server of hyper's reads less by itself.
const REST: usize = 4 << 20;

/// How late a client looks for the answer.
const LATE: Duration = Duration::from_millis(300);

/// How the handler says that the disk is full.
#[derive(Clone, Copy, Debug)]
enum Said {
    InExtensions,
    AsError,
}

const BOTH: [Said; 2] = [Said::InExtensions, Said::AsError];

/// A server of hyper's, with room for everything.
struct Server {
    address: SocketAddr,
    disk: FakeResource,
    layer: StorageGuardLayer,
    /// Requests that reached the handler.
    reached: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Server {
    fn start(said: Said) -> Self {
        let disk = FakeResource::new(1 << 40, 1 << 40);
        let layer = StorageGuardLayer::builder()
            .resource(disk.resource())
            .linger(Linger::default().hold_for(PATIENCE).read_at_most(REST as u64))
            .build()
            .unwrap();
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = reached.clone();
        let service = layer.layer(service_fn(move |request| {
            counter.fetch_add(1, SeqCst);
            runs_out_of_room(request, said)
        }));
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let connection = server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self {
            address,
            disk,
            layer,
            reached,
            runtime: Some(runtime),
        }
    }

    /// The disk has room again for the next client.
    fn make_room(&self) {
        self.disk.sample();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn runs_out_of_room(request: Request<Guarded<Incoming>>, said: Said) -> Result<Response<Full<Bytes>>, BoxError> {
    let mut body = request.into_body();
    let mut written = 0;
    while written < WRITTEN {
        let frame = body.frame().await.expect("more is announced")?;
        written += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    drop(body);
    // Deletes what it has written.
    tokio::task::yield_now().await;
    let error = io::Error::from(ErrorKind::StorageFull);
    match said {
        Said::AsError => Err(error.into()),
        Said::InExtensions => {
            let mut response = Response::new(Full::default());
            let failure = StorageFailure::from_error(&error).expect("full");
            response.extensions_mut().insert(failure);
            Ok(response)
        }
    }
}

/// Sends 200 MB with a client of hyper's. Returns the status of the answer.
async fn upload(address: SocketAddr) -> Result<u16, BoxError> {
    const PIECE: usize = 64 << 10;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let whole = usize::try_from(LARGE)?.div_ceil(PIECE);
    let frames = stream::iter(0..whole).map(|at| {
        let length = PIECE.min(usize::try_from(LARGE).unwrap_or(0) - at * PIECE);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; PIECE]).slice(..length)))
    });
    let request = Request::put("/")
        .header(HOST, "test")
        .header(CONTENT_LENGTH, LARGE)
        .body(StreamBody::new(frames))?;
    let answer = sender.send_request(request).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(error.into()),
    };
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    connection.abort();
    Ok(status)
}

#[test]
fn hyper_clients_read_late_refusals() {
    for said in BOTH {
        let server = Server::start(said);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let answers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, upload(server.address)).await });
                server.make_room();
                answer.expect("in time").map_err(|error| format!("{error:?}"))
            })
            .collect();
        let lost: Vec<_> = answers.iter().filter(|answer| **answer != Ok(507)).collect();
        assert!(
            lost.is_empty(),
            "{said:?}: {} of {CLIENTS} got no 507: {:?}",
            lost.len(),
            lost[0]
        );
        assert_eq!(server.reached.load(SeqCst), CLIENTS, "none was refused before");
        assert_eq!(server.layer.report().late_failures, CLIENTS as u64);
    }
}

/// A client that sends everything before it reads.
#[test]
fn rest_of_a_body_is_read_after_a_late_refusal() {
    for said in BOTH {
        let server = Server::start(said);
        for client in 0..CLIENTS {
            let length = WRITTEN as usize + REST;
            let mut raw = Client::connect(server.address);
            raw.put(&[&format!("content-length: {length}")]);
            raw.send_zeros(length).expect("not turned away");
            let answer = raw.answer();
            answer.assert_is_refusal();
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(raw.end_within(PATIENCE), End::Closed, "{said:?}, client {client}");
            server.make_room();
        }
        assert_eq!(server.reached.load(SeqCst), CLIENTS, "none was refused before");
    }
}

#[test]
fn late_refusal_comes_while_the_client_sends() {
    for said in BOTH {
        let server = Server::start(said);
        let mut client = Client::connect(server.address);
        client.put(&[&format!("content-length: {LARGE}")]);
        let sending = client.keep_sending(vec![0; 1 << 16]);
        eventually("a late failure", || server.layer.report().late_failures > 0);
        assert!(sending.lasts(LATE), "{said:?}: turned away before it could read");
        let answer = client.answer();
        answer.assert_is_refusal();
        assert_eq!(answer.header("connection"), Some("close"));
        sending.stop(&client);
    }
}
