//! Where free space lies in small pieces, the file system needs room for itself to remember where a file's pieces are.

use std::{fs, path::Path};

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Refusal, Resource, StorageGuardLayer};

use crate::{
    store::{Store, or_skip, put, refusal, sample},
    upload::{Content, Upload},
    volume::Volume,
};

/// A block of a small ext4.
const BLOCK: usize = 1 << 10;
const PIECES: usize = 6000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_admitted_fits_between_small_pieces() {
    let Some(volume) = or_skip(Volume::ext4(32 << 20)) else {
        return;
    };
    leave_small_gaps(&volume);
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

    // From a little too large downwards, until one is admitted.
    let mut length = volume.available() as usize;
    loop {
        let body = Upload::new(Content::new(1, length));
        let response = service.clone().oneshot(put("large", body)).await.expect("infallible");
        assert_eq!(store.storage_full(), 0, "{length} bytes were admitted and did not fit");
        if response.status() == StatusCode::CREATED {
            break;
        }
        assert_eq!(refusal(&response).map(Refusal::reason), Some(Reason::Space));
        length -= BLOCK;
        sample(&resource).await;
    }
    assert_eq!(store.other_failures(), [""; 0]);
    let share = length as f64 / (PIECES / 2 * BLOCK) as f64;
    assert!(share > 0.9, "only {share:.3} of what was free is used");
}

/// Fills it with files of one block, and deletes every other.
fn leave_small_gaps(volume: &Volume) {
    let path = |number: usize| volume.path().join(format!("piece-{number}"));
    for number in 0..PIECES {
        fs::write(path(number), [1; BLOCK]).expect("room for it");
    }
    sync(volume.path());
    volume.fill();
    sync(volume.path());
    for number in (0..PIECES).step_by(2) {
        fs::remove_file(path(number)).expect("it was written");
    }
    sync(volume.path());
}

/// Makes the file system choose its blocks, and forget those that are free again.
fn sync(path: &Path) {
    rustix::fs::syncfs(fs::File::open(path).expect("mounted")).expect("all is written");
}
