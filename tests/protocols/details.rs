//! tonic's client reads the details that the feature `grpc-details` adds.

use std::time::Duration;

use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use tower_storage_guard::{GrpcWithDetails, Reason, StorageGuardLayer, test_util::FakeResource};

use super::uploads::{STORED, serve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn details_arrive() {
    let disk = FakeResource::new(1000, 500);
    disk.force_state(Some(tower_storage_guard::State::Full));
    let guard = StorageGuardLayer::builder()
        .resource(disk.resource())
        .renderer(GrpcWithDetails);
    let address = serve(&std::env::temp_dir(), guard.build().expect("valid settings")).await;
    let channel = Channel::from_shared(format!("http://{address}")).expect("an address");
    let mut client = Grpc::new(channel.connect().await.expect("it listens"));
    client.ready().await.expect("connected");
    let codec = ProstCodec::<(), u64>::default();
    let answer = client
        .unary(Request::new(()), PathAndQuery::from_static(STORED), codec)
        .await;

    let status = answer.map(drop).expect_err("it is full");
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, Reason::Space.as_str())
    );
    let delay = status
        .get_details_retry_info()
        .expect("told")
        .retry_delay
        .expect("told");
    assert!(
        (Duration::from_secs(5)..=Duration::from_secs(15)).contains(&delay),
        "{delay:?}"
    );
    let failure = status.get_details_quota_failure().expect("told");
    assert_eq!(failure.violations[0].subject, "space");
}
