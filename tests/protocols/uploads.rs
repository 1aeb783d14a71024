//! A gRPC server that stores streams of `google.protobuf.BytesValue` as files, for clients of any language.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{Body as HttpBody, Service, StdError, http},
    server::NamedService,
    service::LayerExt,
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::service_fn;
use tower_storage_guard::{BodyError, Refusal, StorageGuardLayer};

/// Takes a stream, answers with how many bytes were stored.
pub(crate) const UPLOAD: &str = "/test.Uploads/Upload";
/// Answers each message with how many bytes there were by then.
pub(crate) const COUNT: &str = "/test.Uploads/Count";
/// Of another service; answers with how many bytes are stored in all.
pub(crate) const STORED: &str = "/test.Figures/Stored";

/// A server whose every service is guarded.
pub(crate) async fn serve(dir: &Path, guard: StorageGuardLayer) -> SocketAddr {
    let (listener, address) = listen().await;
    let server = Server::builder()
        .layer(guard)
        .add_service(Uploads(dir.into()))
        .add_service(Figures(dir.into()))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

/// A server of whose services only that is guarded which stores.
pub(crate) async fn serve_with_one_guarded(dir: &Path, guard: StorageGuardLayer) -> SocketAddr {
    let (listener, address) = listen().await;
    let server = Server::builder()
        .add_service(guard.named_layer(Uploads(dir.into())))
        .add_service(Figures(dir.into()))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    address
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

#[derive(Clone)]
struct Uploads(Arc<Path>);

impl NamedService for Uploads {
    const NAME: &'static str = "test.Uploads";
}

impl<B> Service<http::Request<B>> for Uploads
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let dir = self.0.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<u64, Bytes>::default());
            Ok(match request.uri().path() {
                UPLOAD => {
                    let upload = service_fn(move |request| upload(dir.clone(), request));
                    grpc.client_streaming(upload, request).await
                }
                COUNT => grpc.streaming(service_fn(count), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

async fn upload(dir: Arc<Path>, request: Request<Streaming<Bytes>>) -> Result<Response<u64>, Status> {
    // Removed by itself when the stream is cut off.
    let (file, path) = tempfile::NamedTempFile::new_in(&dir)?.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut chunks = request.into_inner();
    let mut stored = 0;
    while let Some(chunk) = chunks.message().await? {
        file.write_all(&chunk).await?;
        stored += chunk.len() as u64;
    }
    file.flush().await?;
    path.keep().map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(stored))
}

type Counts = Pin<Box<dyn Stream<Item = Result<u64, Status>> + Send>>;

async fn count(request: Request<Streaming<Bytes>>) -> Result<Response<Counts>, Status> {
    let counts = request.into_inner().scan(0, |total, chunk| {
        let count = chunk.map(|chunk| {
            *total += chunk.len() as u64;
            *total
        });
        async { Some(count.map_err(told)) }
    });
    Ok(Response::new(Box::pin(counts)))
}

/// The response has begun, so the refusal cannot take its place any more: it goes into the stream.
fn told(status: Status) -> Status {
    let mut cause = std::error::Error::source(&status);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<BodyError>().and_then(BodyError::refusal) {
            return Status::resource_exhausted(Refusal::to_string(refusal));
        }
        cause = error.source();
    }
    status
}

#[derive(Clone)]
struct Figures(Arc<Path>);

impl NamedService for Figures {
    const NAME: &'static str = "test.Figures";
}

impl<B> Service<http::Request<B>> for Figures
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let dir = self.0.clone();
        Box::pin(async move {
            let stored = service_fn(|_: Request<()>| async { Ok(Response::new(stored(&dir)?)) });
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<u64, ()>::default());
            Ok(grpc.unary(stored, request).await)
        })
    }
}

/// The bytes of all files in a directory.
pub(crate) fn stored(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;
