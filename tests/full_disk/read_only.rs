//! A file system that becomes read-only, as one does after an error.

use std::process::Command;

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Refusal, Resource, StorageGuardLayer, test_util::ManualClock};

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
    let uploads = Uploads::to(&volume, &resource);

    volume.remount_read_only();
    assert!(!sample(&resource).await.writable);
    assert_eq!(uploads.put("while").await, READ_ONLY);
    assert_eq!(uploads.store.other_failures(), [""; 0], "handlers that tried to write");

    remount_writable(&volume);
    assert!(sample(&resource).await.writable);
    assert_eq!(uploads.put("after").await, STORED);
    assert_eq!(uploads.store.other_failures(), [""; 0]);
}

/// Nothing is measured by itself here.
#[tokio::test]
async fn what_a_handler_finds_out_before_the_guard_is_noticed() {
    let Some(volume) = or_skip(Volume::tmpfs(16 << 20, 1 << 10)) else {
        return;
    };
    let builder = Resource::disk(volume.path()).floor(Floor::NONE);
    let resource = builder.manual(ManualClock::new()).build().expect("mounted");
    let uploads = Uploads::to(&volume, &resource);

    volume.remount_read_only();
    assert_eq!(uploads.put("first").await, READ_ONLY);
    assert_eq!(uploads.store.other_failures().len(), 1, "the handler found it out");
    assert_eq!(uploads.put("second").await.0, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(uploads.store.other_failures().len(), 1, "no handler tries again");

    remount_writable(&volume);
    sample(&resource).await;
    assert_eq!(uploads.put("third").await, STORED);
}

const STORED: (StatusCode, Option<Reason>) = (StatusCode::CREATED, None);
const READ_ONLY: (StatusCode, Option<Reason>) = (StatusCode::INSUFFICIENT_STORAGE, Some(Reason::ReadOnly));

struct Uploads {
    layer: StorageGuardLayer,
    store: Store,
}

impl Uploads {
    fn to(volume: &Volume, resource: &Resource) -> Self {
        Self {
            layer: StorageGuardLayer::builder()
                .resource(resource.clone())
                .build()
                .expect("a layer"),
            store: Store::new(volume.path()),
        }
    }

    /// The status, and why the guard refused if it did.
    async fn put(&self, name: &str) -> (StatusCode, Option<Reason>) {
        let store = self.store.clone();
        let service = ServiceBuilder::new()
            .layer(self.layer.clone())
            .service_fn(move |request| store.clone().stream(request));
        let body = Upload::new(Content::new(1, 1000));
        let response = service.oneshot(put(name, body)).await.expect("infallible");
        (response.status(), refusal(&response).map(Refusal::reason))
    }
}

fn remount_writable(volume: &Volume) {
    let remount = Command::new("mount")
        .args(["-o", "remount,rw"])
        .arg(volume.path())
        .status();
    assert!(remount.expect("mount runs").success());
}
