//! The storage itself says that it is full, although the request had been admitted.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_storage_guard::{
    Floor, Guarded, Reason, Refusal, Resource, ResponseBody, SizeModel, StorageFailure, StorageGuardLayer,
    test_util::ManualClock,
};

use crate::{
    store::{Answer, answer, or_skip, put, refusal, sample, until},
    upload::{Content, Upload},
    volume::Volume,
};

const SIZE: u64 = 4 << 20;
const TOO_LARGE: usize = 8 << 20;

/// A layer that charges a hundredth of what is written.
fn lenient(resource: &Resource) -> StorageGuardLayer {
    let builder = StorageGuardLayer::builder().resource(resource.clone());
    builder
        .size_model(SizeModel::EXACT.factor(0.01))
        .build()
        .expect("a layer")
}

/// Writes it all to a file; what becomes of an error, and of the file then, is another matter.
async fn write(path: &Path, body: Guarded<Upload>) -> io::Result<Answer> {
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    fs::write(path, bytes)?;
    Ok(answer(StatusCode::CREATED))
}

/// Puts the failure into the extensions of a response that says nothing.
fn marked(error: &io::Error) -> Answer {
    let mut answer = answer(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .extensions_mut()
        .insert(StorageFailure::from_error(error).expect("the volume is full"));
    answer
}

/// However a handler reports that the disk is full, the client and the guard get to know it. Nothing is measured by
/// itself here, so that only what was reported can refuse.
async fn is_noticed<E: std::fmt::Debug + 'static>(report: fn(io::Error) -> Result<Answer, E>) {
    let Some(volume) = or_skip(Volume::tmpfs(SIZE, 1 << 10)) else {
        return;
    };
    let builder = Resource::disk(volume.path()).floor(Floor::NONE);
    let resource = builder.manual(ManualClock::new()).build().expect("mounted");
    let calls = Arc::new(AtomicU32::new(0));
    let (path, called) = (volume.path().join("file"), calls.clone());
    let service =
        ServiceBuilder::new()
            .layer(lenient(&resource))
            .service_fn(move |request: Request<Guarded<Upload>>| {
                called.fetch_add(1, Relaxed);
                let path = path.clone();
                async move {
                    let outcome = write(&path, request.into_body()).await;
                    outcome.or_else(|error| {
                        fs::remove_file(&path).expect("it was begun");
                        report(error)
                    })
                }
            });
    let upload = |length| service.clone().oneshot(put("", Upload::new(Content::new(1, length))));

    let response = upload(TOO_LARGE).await.expect("an answer in its place");
    assert_refused(&response);
    assert!(refusal(&response).is_some_and(Refusal::is_mid_stream));
    assert_eq!(calls.load(Relaxed), 1);

    // Though the handler has tidied up, nobody has seen that yet.
    for length in [1, 1000, TOO_LARGE] {
        let response = upload(length).await.expect("a refusal");
        assert_refused(&response);
        assert!(refusal(&response).is_some_and(|refusal| !refusal.is_mid_stream()));
    }
    assert_eq!(calls.load(Relaxed), 1, "the handler runs no more");

    until("the file is gone", || volume.available() == SIZE);
    sample(&resource).await;
    assert_eq!(upload(1000).await.expect("room again").status(), StatusCode::CREATED);
}

fn assert_refused<B>(response: &Response<ResponseBody<B>>) {
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(refusal(response).map(Refusal::reason), Some(Reason::Space));
}

#[tokio::test]
async fn a_marked_response_is_noticed() {
    is_noticed::<BoxError>(|error| Ok(marked(&error))).await;
}

#[tokio::test]
async fn an_io_error_is_noticed() {
    is_noticed::<io::Error>(Err).await;
}

#[tokio::test]
async fn boxed_errors_are_noticed() {
    is_noticed::<BoxError>(|error| Err(error.into())).await;
    is_noticed::<Box<dyn Error + Send>>(|error| Err(Box::new(error))).await;
}

#[tokio::test]
async fn a_wrapped_error_is_noticed() {
    is_noticed::<BoxError>(|error| Err(io::Error::other(Wrapped(error)).into())).await;
}

#[derive(Debug)]
struct Wrapped(io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("could not store it")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stays_full_refuses_until_something_is_deleted() {
    let Some(volume) = or_skip(Volume::tmpfs(SIZE, 1 << 10)) else {
        return;
    };
    let resource = Resource::disk(volume.path())
        .floor(Floor::NONE)
        .build()
        .expect("mounted");
    let path: PathBuf = volume.path().join("file");
    let left_over = path.clone();
    let service =
        ServiceBuilder::new()
            .layer(lenient(&resource))
            .service_fn(move |request: Request<Guarded<Upload>>| {
                let path = path.clone();
                async move {
                    let outcome = write(&path, request.into_body()).await;
                    Ok::<Response<Full<Bytes>>, io::Error>(outcome.unwrap_or_else(|error| marked(&error)))
                }
            });
    let upload = |length| service.clone().oneshot(put("", Upload::new(Content::new(1, length))));

    assert_refused(&upload(TOO_LARGE).await.expect("an answer in its place"));
    for length in [1, 1000, TOO_LARGE] {
        assert_refused(&upload(length).await.expect("a refusal"));
        sample(&resource).await;
        assert_refused(&upload(length).await.expect("a refusal"));
    }

    fs::remove_file(left_over).expect("it was begun");
    until("the file is gone", || volume.available() == SIZE);
    // Two good readings in a row end the state.
    sample(&resource).await;
    sample(&resource).await;
    assert_eq!(upload(1000).await.expect("room again").status(), StatusCode::CREATED);
}
