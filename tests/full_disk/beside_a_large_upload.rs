//! A large upload does not count twice late in its life: small files beside it that truly fit are let in.

use std::fs;

use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use tower_storage_guard::{Floor, Reason, Resource, StorageGuardLayer, WriteBuffer};

use crate::{
    store::{Store, or_skip, put, refusal, sample},
    upload::{Content, Paced, Random, Upload},
    volume::Volume,
};

const SIZE: u64 = 64 << 20;
const LARGE: usize = (SIZE * 6 / 10) as usize;
const FRAME: usize = 256 << 10;
/// What a small upload takes beyond its bytes: the rounding, and a block of the file system's own.
const OVERHEAD: u64 = 8 << 10;

/// The handlers below write each frame before they ask for the next one.
const DECLARED: WriteBuffer = WriteBuffer::Bytes(8 << 20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_is_never_refused() {
    let Some((tried, refused)) = beside(DECLARED).await else {
        return;
    };
    assert_eq!(refused, 0, "of {tried} small files that fit");
}

/// By default the large upload is held whole, so late in its life it counts as written and as held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_buffer_refuses_what_would_fit() {
    let Some((tried, refused)) = beside(WriteBuffer::default()).await else {
        return;
    };
    assert!(
        refused * 5 >= tried,
        "{refused} of {tried} small files that fit were refused without early closing"
    );
}

/// Tries a small file before each frame of a large upload. Tells how many there were, and how many were refused.
async fn beside(write_buffer: WriteBuffer) -> Option<(u32, u32)> {
    let volume = or_skip(Volume::ext4(SIZE))?;
    let resource = Resource::disk(volume.path())
        .floor(Floor::NONE)
        .build()
        .expect("mounted");
    let store = Store::new(volume.path());
    let layer = |write_buffer| {
        let builder = StorageGuardLayer::builder().resource(resource.clone());
        builder.write_buffer(write_buffer).build().expect("a layer")
    };
    let (stores_large, stores_small) = (store.clone(), store.clone());
    let large = ServiceBuilder::new()
        .layer(layer(write_buffer))
        .service_fn(move |request| stores_large.clone().stream(request));
    let small = ServiceBuilder::new()
        .layer(layer(DECLARED))
        .service_fn(move |request| stores_small.clone().stream(request));

    let content = Content::new(1, LARGE);
    let (body, mut pacer) = Paced::new(content);
    let upload = tokio::spawn(large.oneshot(put("large", body)));
    let mut random = Random::new(2);
    let (mut tried, mut refused) = (0, 0);
    while pacer.is_asked().await {
        let length = random.between(16 << 10, 1 << 20);
        sample(&resource).await;
        let written = fs::metadata(volume.path().join("large"))
            .expect("it is being written")
            .len();
        let to_come = LARGE as u64 - written;
        let available = volume.available();
        assert!(
            to_come + length as u64 + OVERHEAD <= available,
            "{length} bytes and {to_come} to come do not fit into {available}"
        );
        let body = Upload::new(Content::new(random.next(), length));
        let response = small.clone().oneshot(put("small", body)).await.expect("infallible");
        tried += 1;
        match refusal(&response) {
            Some(refusal) => {
                assert_eq!(refusal.reason(), Reason::Space);
                refused += 1;
            }
            None => {
                assert_eq!(response.status(), StatusCode::CREATED);
                fs::remove_file(volume.path().join("small")).expect("it was stored");
            }
        }
        pacer.send(FRAME);
    }
    let response = upload.await.expect("no panic").expect("infallible");
    println!(
        "{write_buffer:?}: {refused} of {tried} small files refused, ENOSPC {}",
        store.storage_full()
    );
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(content.check(&volume.path().join("large")), Ok(()));
    assert_eq!(store.storage_full(), 0, "handlers that found the disk full");
    assert_eq!(store.other_failures(), [""; 0]);
    Some((tried, refused))
}
