//! tonic's client reads every refusal as `RESOURCE_EXHAUSTED`, with its message.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tonic::{
    Code, Request, Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};
use tonic_prost::ProstCodec;
use tower_storage_guard::{Floor, Reason, Resource, StorageGuardLayer, WriteBuffer, test_util::FakeResource};

use super::{
    MIB, small_disk,
    uploads::{COUNT, STORED, UPLOAD, serve, serve_with_one_guarded, stored},
};

/// Answers that come while the client sends are lost only now and then.
const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_upload_is_refused_before_it_begins() {
    let Some(disk) = small_disk() else { return };
    let (resource, mut client) = client(disk.path()).await;
    assert_eq!(
        client.upload(chunks(10), None).await.expect("it fits").into_inner(),
        10 * MIB
    );
    let reading = resource.sample_now().expect("measured");
    assert!(reading.available < 7 * MIB, "{reading:?}");

    for _ in 0..ROUNDS {
        // What is really sent would fit.
        let not_now = client.upload(chunks(1), Some(12 * MIB)).await.expect_err("no room");
        is_refused(&not_now, Reason::Space);
        assert!(pushback(&not_now) >= 5000, "{not_now:?}");
    }
    let never = client.upload(chunks(1), Some(1 << 40)).await.expect_err("too large");
    is_refused(&never, Reason::ExceedsCapacity);
    assert_eq!(pushback(&never), -1);
    assert_eq!(stored(disk.path()).expect("readable"), 10 * MIB, "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_unknown_length_is_refused_in_the_middle() {
    let Some(disk) = small_disk() else { return };
    let (resource, mut client) = client(disk.path()).await;
    // Otherwise it could also be too large for ever, which is told in other words.
    client.upload(chunks(4), None).await.expect("it fits");
    for _ in 0..ROUNDS {
        let status = client.upload(chunks(64), None).await.expect_err("no room");
        is_refused(&status, Reason::Space);
        assert!(pushback(&status) >= 5000, "{status:?}");
    }
    assert_eq!(stored(disk.path()).expect("readable"), 4 * MIB);
    resource.sample_now().expect("measured");
    let fits = client.upload(chunks(4), None).await.expect("it fits");
    assert_eq!(fits.into_inner(), 4 * MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_has_been_answered_ends_with_the_refusal() {
    let disk = FakeResource::new(10_000, 500);
    let address = serve(&std::env::temp_dir(), guard(disk.resource())).await;
    let mut client = Client::connect(address).await;
    let (sender, receiver) = mpsc::channel(1);
    let chunks = stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let mut counts = client.count(chunks).await.expect("it begins").into_inner();
    for expected in [200, 400] {
        sender.send(Bytes::from(vec![7; 200])).await.expect("it is read");
        assert_eq!(counts.message().await.expect("it fits"), Some(expected));
    }
    sender.send(Bytes::from(vec![7; 200])).await.expect("it is read");
    is_refused(&counts.message().await.expect_err("it ends"), Reason::Space);
}

/// Every call is a `POST` of unknown length, also one that only reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_reads_is_left_alone_when_one_service_is_guarded() {
    let disk = FakeResource::new(1000, 500);
    let dir = tempfile::TempDir::new().expect("a directory");
    let mut all = Client::connect(serve(dir.path(), guard(disk.resource())).await).await;
    let mut one = Client::connect(serve_with_one_guarded(dir.path(), guard(disk.resource())).await).await;
    assert_eq!(
        one.upload(stream::iter([Bytes::from("a few")]), None)
            .await
            .expect("it fits")
            .into_inner(),
        5
    );

    disk.force_state(Some(tower_storage_guard::State::Full));
    is_refused(&all.stored().await.expect_err("guarded"), Reason::Space);
    assert_eq!(one.stored().await.expect("not guarded").into_inner(), 5);
    is_refused(&one.upload(chunks(1), None).await.expect_err("guarded"), Reason::Space);
}

fn is_refused(status: &Status, reason: Reason) {
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, reason.as_str()),
        "{status:?}"
    );
}

fn pushback(status: &Status) -> i64 {
    let value = status.metadata().get("grpc-retry-pushback-ms").expect("told");
    value.to_str().expect("digits").parse().expect("a number")
}

pub(crate) fn guard(resource: Resource) -> StorageGuardLayer {
    let guard = StorageGuardLayer::builder()
        .resource(resource)
        // While a stream of unknown length flows, this much of it may count twice: as written and as held. The usual
        // 8 MiB are half of the disk.
        .write_buffer(WriteBuffer::Bytes(4 << 20));
    guard.build().expect("valid settings")
}

async fn client(dir: &Path) -> (Resource, Client) {
    let resource = Resource::disk(dir).floor(Floor::bytes(MIB)).build().expect("measured");
    let address = serve(dir, guard(resource.clone())).await;
    (resource, Client::connect(address).await)
}

fn chunks(count: usize) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::iter(vec![Bytes::from(vec![7; MIB as usize]); count])
}

struct Client {
    grpc: Grpc<Channel>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).expect("an address");
        Self {
            grpc: Grpc::new(channel.connect().await.expect("it listens")),
        }
    }

    async fn upload(
        &mut self,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
        length: Option<u64>,
    ) -> Result<Response<u64>, Status> {
        self.grpc.ready().await.expect("connected");
        let mut request = Request::new(chunks);
        if let Some(length) = length {
            request.metadata_mut().insert("upload-length", length.into());
        }
        let codec = ProstCodec::<Bytes, u64>::default();
        self.grpc
            .client_streaming(request, PathAndQuery::from_static(UPLOAD), codec)
            .await
    }

    async fn count(
        &mut self,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Response<Streaming<u64>>, Status> {
        self.grpc.ready().await.expect("connected");
        let codec = ProstCodec::<Bytes, u64>::default();
        self.grpc
            .streaming(Request::new(chunks), PathAndQuery::from_static(COUNT), codec)
            .await
    }

    async fn stored(&mut self) -> Result<Response<u64>, Status> {
        self.grpc.ready().await.expect("connected");
        let codec = ProstCodec::<(), u64>::default();
        self.grpc
            .unary(Request::new(()), PathAndQuery::from_static(STORED), codec)
            .await
    }
}
