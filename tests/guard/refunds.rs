//! Bytes that a client announced and never sent are refunded when its request ends, for known and unknown lengths.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_storage_guard::{
    Guarded, Reading, SizeModel, StorageGuardLayer, WriteBuffer,
    test_util::{FakeResource, ScriptedBody},
};

use crate::support::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

type Upload = Request<Guarded<ScriptedBody>>;
type Reply = Result<Response<Full<bytes::Bytes>>, BoxError>;

/// All of its 100 GiB are free, and writes show after 30 s.
fn hundred_free(block_size: u32) -> FakeResource {
    let reading = Reading::new(100 * GIB, 100 * GIB).with_block_size(block_size);
    FakeResource::with(reading.with_lag(Duration::from_secs(30)), |builder| builder)
}

/// Announces 90 GiB and sends one byte.
fn announced() -> ScriptedBody {
    ScriptedBody::new().data(1).telling_length(90 * GIB)
}

async fn reads_one_frame(request: Upload) -> Reply {
    let mut body = request.into_body();
    body.frame().await.unwrap()?;
    drop(body);
    tokio::task::yield_now().await;
    Ok(Response::default())
}

async fn fails_after_one_frame(request: Upload) -> Reply {
    reads_one_frame(request).await?;
    Err("a handler that fails".into())
}

async fn panics_after_one_frame(request: Upload) -> Reply {
    let _first = request.into_body().frame().await;
    std::panic::resume_unwind(Box::new("a handler that panics"));
}

/// A handler that answers before it has read.
async fn reads_in_a_task(request: Upload) -> Reply {
    tokio::spawn(async move { request.into_body().collect().await.map(|_| ()) });
    Ok(Response::default())
}

/// After one byte of 90 GiB, by every write buffer: one byte is unseen, and nothing is held.
async fn one_byte_is_unseen<F>(handler: impl FnMut(Upload) -> F + Clone, body: impl Fn() -> ScriptedBody)
where
    F: Future<Output = Reply>,
{
    for write_buffer in [
        WriteBuffer::default(),
        WriteBuffer::Bytes(0),
        WriteBuffer::Bytes(8 * MIB),
        WriteBuffer::Whole,
    ] {
        let disks = [hundred_free(1), hundred_free(1)];
        let layer = guarding(disks[0].resource())
            .resource(disks[1].resource())
            .size_model(SizeModel::EXACT)
            .write_buffer(write_buffer);
        let service = layer.build().unwrap().layer(service_fn(handler.clone()));
        let mut response = Box::pin(AssertUnwindSafe(service.oneshot(put(body()))).catch_unwind());
        for _ in 0..10 {
            if futures_util::poll!(&mut response).is_ready() {
                break;
            }
            // The task that was left behind has its turn.
            tokio::task::yield_now().await;
        }
        drop(response);
        tokio::task::yield_now().await;
        for disk in disks {
            let report = disk.report();
            assert_eq!((report.unseen, report.held), (1, 0), "{write_buffer:?}");
            assert_eq!(report.headroom, (100 * GIB - 1) as i64, "{write_buffer:?}");
        }
    }
}

#[tokio::test]
async fn upload_that_breaks_off_leaves_what_came() {
    one_byte_is_unseen(reads_all, || announced().error("the client is gone")).await;
}

#[tokio::test]
async fn unknown_length_that_breaks_off_leaves_what_came() {
    let body = || ScriptedBody::new().data(1).error("the client is gone");
    one_byte_is_unseen(reads_all, body).await;
}

#[tokio::test]
async fn body_dropped_by_its_handler_leaves_what_came() {
    one_byte_is_unseen(reads_one_frame, || announced().data(1)).await;
}

#[tokio::test]
async fn handler_that_fails_leaves_what_came() {
    one_byte_is_unseen(fails_after_one_frame, announced).await;
}

#[tokio::test]
async fn handler_that_panics_leaves_what_came() {
    one_byte_is_unseen(panics_after_one_frame, announced).await;
}

#[tokio::test]
async fn dropped_request_leaves_what_came() {
    one_byte_is_unseen(reads_all, || announced().hang()).await;
}

#[tokio::test]
async fn body_read_after_the_answer_leaves_what_came() {
    one_byte_is_unseen(reads_in_a_task, || announced().error("the client is gone")).await;
}

/// A client that leaves before its first byte, although the handler asked for it.
#[tokio::test]
async fn body_without_a_byte_leaves_nothing() {
    let disk = hundred_free(1);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    let body = ScriptedBody::new().error("the client is gone").telling_length(90 * GIB);
    service.oneshot(put(body)).await.expect_err("passed on");
    let report = disk.report();
    assert_eq!((report.unseen, report.held), (0, 0));
}

#[tokio::test]
async fn others_get_the_room_before_the_lag_is_over() {
    let disk = hundred_free(4096);
    let layer = guarding(disk.resource()).build().unwrap();
    let service = layer.layer(service_fn(reads_all));
    let upload = announced().error("the client is gone");
    service.oneshot(put(upload)).await.expect_err("passed on");
    let report = disk.report();
    assert!(report.unseen >= 1, "what came is unseen");
    assert!(
        report.unseen <= SizeModel::default().size_of(1, 4096),
        "{} bytes are unseen",
        report.unseen
    );
    let other = layer.layer(service_fn(reads_nothing));
    let large = ScriptedBody::new().telling_length(20 * GIB);
    assert_eq!(status(&other, large).await, 200);
}

/// The creation of an upload whose bytes come in later requests.
fn creation(protocol: (&str, &str)) -> Request<ScriptedBody> {
    Request::post("/files")
        .header(protocol.0, protocol.1)
        .header("upload-length", 60 * GIB)
        .body(ScriptedBody::new().telling_length(0))
        .unwrap()
}

async fn creation_leaves_room_for_its_upload(protocol: (&str, &str)) {
    for block_size in [1, 4096] {
        for is_read in [false, true] {
            let disk = hundred_free(block_size);
            let layer = guarding(disk.resource()).build().unwrap();
            let request = creation(protocol);
            let created = if is_read {
                layer.layer(service_fn(reads_all)).oneshot(request).await
            } else {
                layer.layer(service_fn(reads_nothing)).oneshot(request).await
            };
            assert_eq!(created.unwrap().status(), 200);
            let report = disk.report();
            assert_eq!(report.held, 0, "read: {is_read}");
            let overhead = SizeModel::default().size_of(0, block_size);
            assert!(
                report.unseen <= overhead,
                "{} bytes are unseen, read: {is_read}",
                report.unseen
            );

            let first = Request::patch("/files/1")
                .header(protocol.0, protocol.1)
                .header("upload-offset", 0)
                .body(ScriptedBody::new().data(1).telling_length(60 * GIB))
                .unwrap();
            let first = layer.layer(service_fn(reads_all)).oneshot(first).await.unwrap();
            assert_eq!(first.status(), 200, "read: {is_read}");
        }
    }
}

#[tokio::test]
async fn tus_creation_leaves_room_for_its_first_patch() {
    creation_leaves_room_for_its_upload(("tus-resumable", "1.0.0")).await;
}

#[tokio::test]
async fn resumable_creation_leaves_room_for_its_upload() {
    creation_leaves_room_for_its_upload(("upload-draft-interop-version", "6")).await;
}

/// An upload for which there is no room is refused before its first byte all the same.
#[tokio::test]
async fn creation_without_room_is_refused() {
    let disk = hundred_free(1);
    disk.probe().set_available(50 * GIB);
    disk.sample();
    let layer = guarding(disk.resource()).build().unwrap();
    let request = creation(("tus-resumable", "1.0.0"));
    let refused = layer.layer(service_fn(reads_nothing)).oneshot(request).await.unwrap();
    assert_eq!(refused.status(), 507);
}

/// Pieces that closed early are neither refunded nor closed again.
#[tokio::test]
async fn early_closed_upload_cut_short_is_exact() {
    const FREE: u64 = 200 * MIB;
    for (model, factor) in [(SizeModel::EXACT, 1), (SizeModel::EXACT.factor(2.0), 2)] {
        for buffer in [0, MIB, 5 * MIB + 1, 100 * MIB] {
            for (frames, sampled_after) in [(1, 0), (20, 7), (20, 19), (49, 30)] {
                let disk = FakeResource::new(2 * FREE, FREE);
                let layer: StorageGuardLayer = guarding(disk.resource())
                    .size_model(model)
                    .write_buffer(WriteBuffer::Bytes(buffer))
                    .build()
                    .unwrap();
                let body = (0..frames).fold(ScriptedBody::new(), |body, _| body.data(MIB as usize));
                let mut body = in_hand(&layer, body.telling_length(50 * MIB)).await;
                let mut seen = 0;
                for frame in 0..frames {
                    if frame == sampled_after {
                        seen = disk.report().unseen;
                        disk.probe().set_available(FREE - seen);
                        disk.sample();
                    }
                    body.frame().await.unwrap().unwrap();
                }
                drop(body);
                let came = frames * MIB * factor;
                let report = disk.report();
                let case = format!("{frames} frames, a buffer of {buffer}, a factor of {factor}");
                assert_eq!((report.unseen, report.held), (came - seen, 0), "{case}");
                assert_eq!(report.headroom, (FREE - came) as i64, "{case}");
                disk.probe().set_available(FREE - came);
                let report = disk.sample();
                assert_eq!((report.unseen, report.headroom), (0, (FREE - came) as i64), "{case}");
            }
        }
    }
}

/// The twin of a body that sends less than it announced: one that sends all of it.
#[tokio::test]
async fn complete_upload_closes_whole() {
    let disk = hundred_free(1);
    let service = guarding(disk.resource()).build().unwrap().layer(service_fn(reads_all));
    assert_eq!(status(&service, chunks(&[1000; 3]).telling_length(3000)).await, 200);
    let report = disk.report();
    assert_eq!((report.unseen, report.held), (3000, 0));
}
