//! Uploads over gRPC, guarded: a server and its client in one program.
//!
//! The client shows what a refusal looks like, before the first message and in the middle of a stream. With `--listen`
//! the program only serves, for clients of your own.
//!
//! ```sh
//! cargo run --example grpc
//! cargo run --example grpc -- --listen 127.0.0.1:3003
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]

use std::{
    convert::Infallible,
    env,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{Stream, stream};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::BoxError;
use tower_storage_guard::{Floor, Reading, Resource, StorageGuardLayer};

use uploads::{Chunk, Stored, Uploads, UploadsClient, UploadsServer};

const MIB: usize = 1 << 20;
/// What the server keeps at most. Small, so that its end is seen.
const ROOM: usize = 4 * MIB;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let address = option()?;
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    let server = serve(listener)?;
    if address.is_some() {
        return Ok(server.await?);
    }
    tokio::spawn(server);
    upload(UploadsClient::new(Channel::from_shared(url)?.connect().await?)).await;
    Ok(())
}

// ---- the server

fn serve(listener: TcpListener) -> Result<impl Future<Output = Result<(), tonic::transport::Error>>, BoxError> {
    let store = Arc::new(Store::default());
    let measured = store.clone();
    let probe = move || Ok::<_, Infallible>(Reading::new(ROOM as u64, (ROOM - measured.used()) as u64));
    let resource = Resource::builder("store", probe).floor(Floor::NONE).build()?;
    // That these requests speak gRPC is found out from their content type.
    let guard = StorageGuardLayer::builder().resource(resource).build()?;
    Ok(Server::builder()
        .layer(guard)
        .add_service(UploadsServer::new(store))
        .serve_with_incoming(TcpIncoming::from(listener)))
}

/// Keeps everything in memory.
#[derive(Default)]
struct Store {
    files: Mutex<Vec<Vec<u8>>>,
}

impl Store {
    fn used(&self) -> usize {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(Vec::len).sum()
    }
}

impl Uploads for Store {
    async fn upload(&self, request: Request<Streaming<Chunk>>) -> Result<Response<Stored>, Status> {
        let mut chunks = request.into_inner();
        let mut content = Vec::new();
        // When the stream is cut off this returns some error; the client is told the refusal instead.
        while let Some(chunk) = chunks.message().await? {
            content.extend(chunk.content);
        }
        let bytes = content.len() as u64;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.push(content);
        Ok(Response::new(Stored { bytes }))
    }
}

// ---- the client

async fn upload(mut client: UploadsClient) {
    tell("1 MiB", client.upload(chunks(1)).await);

    // Who knows the length says so, and is refused before anything was sent.
    let mut announced = Request::new(chunks(4));
    announced
        .metadata_mut()
        .insert("upload-length", (4 * MIB as u64).into());
    tell("4 MiB, announced", client.upload(announced).await);

    tell("4 MiB, not announced", client.upload(chunks(4)).await);
}

fn chunks(count: usize) -> impl Stream<Item = Chunk> + Send + 'static {
    let chunk = Chunk {
        content: vec![7; 64 << 10],
    };
    stream::iter(std::iter::repeat_n(chunk, count * MIB / (64 << 10)))
}

fn tell(what: &str, answer: Result<Response<Stored>, Status>) {
    match answer {
        Ok(stored) => println!("{what}: stored {} bytes", stored.into_inner().bytes),
        Err(status) => println!(
            "{what}: {:?}: {} (retry after: {})",
            status.code(),
            status.message(),
            pushback(&status)
        ),
    }
}

/// What clients with a retry policy heed, in milliseconds; negative means never.
fn pushback(status: &Status) -> &str {
    let value = status.metadata().get("grpc-retry-pushback-ms");
    value.and_then(|value| value.to_str().ok()).unwrap_or("not told")
}

fn option() -> Result<Option<String>, String> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => Ok(None),
        Some("--listen") => Ok(Some(
            args.next().ok_or("--listen needs a value, such as 127.0.0.1:3003")?,
        )),
        Some(other) => Err(format!("`{other}` is not an option; there is --listen")),
    }
}

/// By hand what `tonic-prost-build` makes of a `.proto`, so that this builds without `protoc`:
///
/// ```proto
/// package example;
/// service Uploads { rpc Upload(stream Chunk) returns (Stored); }
/// message Chunk { bytes content = 1; }
/// message Stored { uint64 bytes = 1; }
/// ```
mod uploads {
    use std::{
        convert::Infallible,
        future::Future,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use futures_util::Stream;
    use tonic::{
        IntoStreamingRequest, Request, Response, Status, Streaming,
        body::Body,
        codegen::{Body as HttpBody, Service, StdError, http, http::uri::PathAndQuery},
        server::NamedService,
        transport::Channel,
    };
    use tonic_prost::ProstCodec;

    const UPLOAD: &str = "/example.Uploads/Upload";

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Chunk {
        #[prost(bytes = "vec", tag = "1")]
        pub(crate) content: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Stored {
        #[prost(uint64, tag = "1")]
        pub(crate) bytes: u64,
    }

    pub(crate) trait Uploads: Send + Sync + 'static {
        fn upload(
            &self,
            request: Request<Streaming<Chunk>>,
        ) -> impl Future<Output = Result<Response<Stored>, Status>> + Send;
    }

    pub(crate) struct UploadsServer<T> {
        service: Arc<T>,
    }

    impl<T> UploadsServer<T> {
        pub(crate) fn new(service: Arc<T>) -> Self {
            Self { service }
        }
    }

    impl<T> Clone for UploadsServer<T> {
        fn clone(&self) -> Self {
            Self::new(self.service.clone())
        }
    }

    impl<T> NamedService for UploadsServer<T> {
        const NAME: &'static str = "example.Uploads";
    }

    impl<T, B> Service<http::Request<B>> for UploadsServer<T>
    where
        T: Uploads,
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<B>) -> Self::Future {
            let service = self.service.clone();
            let upload = tower::service_fn(move |request| {
                let service = service.clone();
                async move { service.upload(request).await }
            });
            Box::pin(async move {
                if request.uri().path() != UPLOAD {
                    return Ok(Status::unimplemented("no such method").into_http());
                }
                let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
                Ok(grpc.client_streaming(upload, request).await)
            })
        }
    }

    pub(crate) struct UploadsClient {
        grpc: tonic::client::Grpc<Channel>,
    }

    impl UploadsClient {
        pub(crate) fn new(channel: Channel) -> Self {
            Self {
                grpc: tonic::client::Grpc::new(channel),
            }
        }

        pub(crate) async fn upload<S>(
            &mut self,
            chunks: impl IntoStreamingRequest<Stream = S, Message = Chunk>,
        ) -> Result<Response<Stored>, Status>
        where
            S: Stream<Item = Chunk> + Send + 'static,
        {
            self.grpc
                .ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(UPLOAD);
            let codec = ProstCodec::<Chunk, Stored>::default();
            self.grpc
                .client_streaming(chunks.into_streaming_request(), path, codec)
                .await
        }
    }

    type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
}
