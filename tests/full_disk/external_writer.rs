//! Others write to the disk as well.

use std::fs;

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Refusal, Resource, State, StorageGuardLayer};

use crate::{
    store::{Store, or_skip, put, refusal, sample, until},
    upload::{Content, Upload},
    volume::Volume,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_and_delete_counts() {
    let Some(volume) = or_skip(Volume::tmpfs(16 << 20, 1 << 10)) else {
        return;
    };
    let resource = Resource::disk(volume.path())
        .floor(Floor::bytes(1 << 20))
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
    let upload = |name, length| {
        let body = Upload::new(Content::new(1, length));
        let response = service.clone().oneshot(put(name, body));
        async { response.await.expect("infallible") }
    };
    assert_eq!(upload("before", 1 << 20).await.status(), StatusCode::CREATED);

    // Not full, but too full for this one.
    let other = volume.path().join("other");
    fs::write(&other, vec![0; 8 << 20]).expect("room for it");
    sample(&resource).await;
    let response = upload("while", 8 << 20).await;
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refusal(&response).map(Refusal::reason), Some(Reason::Space));
    assert_eq!(upload("beside", 1 << 20).await.status(), StatusCode::CREATED);

    let ballast = volume.fill();
    assert_eq!(sample(&resource).await.state, State::Full);
    let response = upload("while", 1).await;
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refusal(&response).map(Refusal::reason), Some(Reason::Space));

    for path in [ballast, other] {
        fs::remove_file(path).expect("it is there");
    }
    until("the files are gone", || volume.available() > 12 << 20);
    // Two good readings in a row end the state.
    sample(&resource).await;
    assert_ne!(sample(&resource).await.state, State::Full);
    assert_eq!(upload("after", 8 << 20).await.status(), StatusCode::CREATED);
    assert_eq!(store.storage_full(), 0, "handlers that found the disk full");
    assert_eq!(store.other_failures(), [""; 0]);
}
