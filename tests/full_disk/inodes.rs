//! A file system can be full of files while it has bytes enough.

use std::fs;

use http::StatusCode;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Refusal, Resource, StorageGuardLayer};

use crate::{
    store::{Store, or_skip, put, refusal, sample, until},
    upload::{Content, Upload},
    volume::Volume,
};

const INODES: u64 = 500;
/// All but that of the root.
const FILES: u64 = INODES - 1;
const WRITERS: u64 = 24;
/// A writer gives up after so many refusals in a row.
const REFUSALS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 24)]
async fn the_last_inodes_are_not_given_away_twice() {
    let Some(volume) = or_skip(Volume::tmpfs(16 << 20, INODES)) else {
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
    // Whether it was stored; if not, it must be for the lack of inodes.
    let upload = move |name: String| {
        let service = service.clone();
        async move {
            let response = service
                .oneshot(put(&name, Upload::new(Content::new(1, 1))))
                .await
                .expect("infallible");
            match refusal(&response).map(Refusal::reason) {
                None => assert_eq!(response.status(), StatusCode::CREATED),
                Some(reason) => {
                    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
                    assert_eq!(reason, Reason::Inodes);
                }
            }
            response.status() == StatusCode::CREATED
        }
    };

    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (upload, resource) = (upload.clone(), resource.clone());
        writers.spawn(async move {
            let (mut stored, mut refusals) = (0, 0);
            while refusals < REFUSALS {
                if upload(format!("{writer}-{stored}")).await {
                    stored += 1;
                    refusals = 0;
                } else {
                    refusals += 1;
                    sample(&resource).await;
                }
            }
            stored
        });
    }
    let stored: u64 = writers.join_all().await.into_iter().sum();
    assert_eq!(
        store.storage_full(),
        0,
        "handlers that found no inode, of {stored} that did"
    );
    assert_eq!(store.other_failures(), [""; 0]);
    assert_eq!(stored, FILES, "every inode was used");
    assert!(volume.available() > 8 << 20, "there are bytes enough");

    for entry in fs::read_dir(volume.path()).expect("mounted").take(3) {
        fs::remove_file(entry.expect("readable").path()).expect("it was stored");
    }
    until("the files are gone", || {
        rustix::fs::statvfs(volume.path()).expect("mounted").f_ffree == 3
    });
    sample(&resource).await;
    for number in 0..3 {
        assert!(upload(format!("again-{number}")).await, "three inodes are free again");
    }
    assert!(!upload("one-too-many".to_owned()).await);
    assert_eq!(store.storage_full(), 0);
}
