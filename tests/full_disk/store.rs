//! Handlers that store bodies as files, and requests to them.

use std::{
    convert::Infallible,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::task::spawn_blocking;
use tower_storage_guard::{Guarded, Refusal, Resource, ResourceReport, StorageFailure};

use crate::volume::{Skip, Volume};

pub(crate) type Answer = Response<Full<Bytes>>;

/// Stores bodies in a directory, and counts what goes wrong while it writes.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) directory: PathBuf,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
    storage_full: AtomicU64,
    others: Mutex<Vec<String>>,
}

impl Store {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            counts: Arc::default(),
        }
    }

    /// Writes every frame before it asks for the next one.
    pub(crate) async fn stream<B>(self, request: Request<Guarded<B>>) -> Result<Answer, Infallible>
    where
        B: Body<Data = Bytes>,
        Guarded<B>: Body<Data = Bytes> + Unpin,
    {
        let _running = self.begin();
        let mut file = match self.create(&request) {
            Ok(file) => file,
            Err(error) => return Ok(self.failed(&error)),
        };
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Ok(answer(StatusCode::BAD_REQUEST));
            };
            let data = frame.into_data().unwrap_or_default();
            if let Err(error) = file.file.write_all(&data) {
                return Ok(self.failed(&error));
            }
        }
        file.kept = true;
        Ok(answer(StatusCode::CREATED))
    }

    /// Collects the body before it writes any of it.
    pub(crate) async fn collect<B>(self, request: Request<Guarded<B>>) -> Result<Answer, Infallible>
    where
        B: Body<Data = Bytes>,
        Guarded<B>: Body<Data = Bytes> + Unpin,
    {
        let _running = self.begin();
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return Ok(answer(StatusCode::BAD_REQUEST));
        };
        let outcome = self.create(&Request::from_parts(head, ())).and_then(|mut file| {
            file.file.write_all(&body.to_bytes())?;
            // Makes the file system choose its blocks now.
            file.file.sync_data()?;
            file.kept = true;
            Ok(())
        });
        Ok(match outcome {
            Ok(()) => answer(StatusCode::CREATED),
            Err(error) => self.failed(&error),
        })
    }

    /// How often a handler was told that the disk is full.
    pub(crate) fn storage_full(&self) -> u64 {
        self.counts.storage_full.load(Relaxed)
    }

    /// What else went wrong.
    pub(crate) fn other_failures(&self) -> Vec<String> {
        self.counts.others.lock().expect("no panic").clone()
    }

    /// Waits until this many more handlers are done, or none is at work.
    pub(crate) fn let_some_end(&self, number: u64) {
        let Counts { begun, ended, .. } = &*self.counts;
        let target = ended.load(Acquire) + number;
        while ended.load(Acquire) < target.min(begun.load(Acquire)) {
            thread::yield_now();
        }
    }

    fn begin(&self) -> Running {
        self.counts.begun.fetch_add(1, AcqRel);
        Running(self.counts.clone())
    }

    fn create<B>(&self, request: &Request<B>) -> io::Result<Unfinished> {
        let path = self.directory.join(request.uri().path().trim_start_matches('/'));
        Ok(Unfinished {
            file: File::create_new(&path)?,
            path,
            kept: false,
        })
    }

    fn failed(&self, error: &io::Error) -> Answer {
        if error.kind() == io::ErrorKind::StorageFull {
            self.counts.storage_full.fetch_add(1, Relaxed);
        } else {
            self.counts.others.lock().expect("no panic").push(error.to_string());
        }
        let mut answer = answer(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(failure) = StorageFailure::from_error(error) {
            answer.extensions_mut().insert(failure);
        }
        answer
    }
}

/// A handler at work.
struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, AcqRel);
    }
}

/// A file that is deleted unless it becomes complete, also when the handler is dropped.
struct Unfinished {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(crate) fn answer(status: StatusCode) -> Answer {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

pub(crate) fn put<B>(name: &str, body: B) -> Request<B> {
    Request::put(format!("/{name}")).body(body).expect("a request")
}

/// Why the guard refused, if it did.
pub(crate) fn refusal<B>(response: &Response<B>) -> Option<&Refusal> {
    response.extensions().get()
}

/// A measurement that begins now.
pub(crate) async fn sample(resource: &Resource) -> ResourceReport {
    let resource = resource.clone();
    let report = spawn_blocking(move || resource.sample_now()).await.expect("no panic");
    report.expect("the probe answers")
}

/// The volume, or why the test that asked for it cannot tell anything.
pub(crate) fn or_skip(volume: Result<Volume, Skip>) -> Option<Volume> {
    volume.map_err(|skip| println!("{skip}")).ok()
}

/// Waits for the file system to let go of what was deleted: a process that starts from this one, as `mount` does in
/// other tests, has copies of all open files for a moment.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    // Far more often than it takes.
    let found = (0..10_000_000).any(|_| {
        thread::yield_now();
        holds()
    });
    assert!(found, "{what}");
}
