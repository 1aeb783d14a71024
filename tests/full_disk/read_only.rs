//! A file system that becomes read-only, as one does after an error.

use std::process::Command;

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Refusal, Resource, StorageGuardLayer};

use crate::{
    store::{Store, or_skip, put, refusal, sample},
    upload::{Content, Upload},
    volume::Volume,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_not_written_to() {
    let Some(volume) = or_skip(Volume::tmpfs(16 << 20, 1 << 10)) else {
        return;
    };
    let resource = Resource::disk(volume.path())
        .floor(Floor::NONE)
        .build()
        .expect("mounted");
    let store = Store::new(volume.path());
    let stores = store.clone();
    let service = ServiceBuilder::new()
        .layer(
            StorageGuardLayer::builder()
                .resource(resource.clone())
                .build()
                .expect("a layer"),
        )
        .service_fn(move |request| stores.clone().stream(request));
    let upload = |name| {
        let body = Upload::new(Content::new(1, 1000));
        let response = service.clone().oneshot(put(name, body));
        async { response.await.expect("infallible") }
    };
    assert_eq!(upload("before").await.status(), StatusCode::CREATED);

    volume.remount_read_only();
    let report = sample(&resource).await;
    assert!(!report.writable);
    let response = upload("while").await;
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refusal(&response).map(Refusal::reason), Some(Reason::ReadOnly));

    let remount = Command::new("mount")
        .args(["-o", "remount,rw"])
        .arg(volume.path())
        .status();
    assert!(remount.expect("mount runs").success());
    sample(&resource).await;
    assert_eq!(upload("after").await.status(), StatusCode::CREATED);
    assert_eq!(store.other_failures(), [""; 0], "handlers that tried to write");
}
