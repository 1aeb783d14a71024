//! The handlers: what they store they say, and when the storage is full they say that too.

use std::{
    fs, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tokio::{io::AsyncReadExt, task::spawn_blocking};
use tower_storage_guard::{Resource, StorageFailure, Stored};

use crate::{
    options::Broken,
    site::{Came, TENANT},
    store::{Committed, FileName, Removed, Store},
    tally::Tally,
};

#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) store: Store,
    pub(crate) root: Arc<std::path::Path>,
    pub(crate) disk: Resource,
    pub(crate) tally: Arc<Tally>,
    pub(crate) broken: Arc<[Broken]>,
}

pub(crate) async fn put(
    State(files): State<Files>,
    Extension(came): Extension<Came>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (Ok(name), Some(store)) = (name.parse(), files.of(&headers)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match receive(&files, store, &name, body).await {
        Ok(Some(Committed {
            replaced, size, turn, ..
        })) => {
            let status = replaced.map_or(StatusCode::CREATED, |_| StatusCode::NO_CONTENT);
            let mut response = status.into_response();
            let extensions = response.extensions_mut();
            extensions.insert(Stored::instead_of(replaced.unwrap_or(0), size));
            extensions.insert(turn);
            response
        }
        // The guard puts its own answer in place of this, or the client is gone.
        Ok(None) => StatusCode::BAD_REQUEST.into_response(),
        Err(error) => files.failed(came, &error),
    }
}

/// `None` when the body broke off.
async fn receive(files: &Files, store: Store, name: &FileName, body: Body) -> io::Result<Option<Committed>> {
    let sabotage = files.sabotage();
    if sabotage == Some(Broken::Hold) {
        std::mem::forget(body);
        return Ok(None);
    }
    let mut upload = store.begin().await?;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let Ok(frame) = frame else { return Ok(None) };
        match sabotage {
            Some(Broken::Content) if !frame.is_empty() => {
                let mut other = frame.to_vec();
                other[0] ^= 1;
                upload.write(&other).await?;
            }
            _ => upload.write(&frame).await?,
        }
    }
    upload.commit(name).await.map(Some)
}

pub(crate) async fn get(State(files): State<Files>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let (Ok(name), Some(store)) = (name.parse(), files.of(&headers)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let content = async {
        let (mut file, size) = store.read(&name).await?;
        let mut content = Vec::with_capacity(size as usize);
        file.read_to_end(&mut content).await?;
        io::Result::Ok(content)
    };
    match content.await {
        Ok(content) => content.into_response(),
        Err(error) => missing_or_worse(&error),
    }
}

pub(crate) async fn remove(State(files): State<Files>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let (Ok(name), Some(store)) = (name.parse(), files.of(&headers)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match store.remove(&name).await {
        Ok(Removed { size, turn }) => {
            files.disk.kick();
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.extensions_mut().insert(Stored::freed(size));
            response.extensions_mut().insert(turn);
            response
        }
        Err(error) => missing_or_worse(&error),
    }
}

/// `MKCOL` and `DELETE`.
pub(crate) async fn directory(
    State(files): State<Files>,
    Extension(came): Extension<Came>,
    method: Method,
    Path(name): Path<String>,
) -> Response {
    if name.contains('/') {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let path = files.root.join(format!("dir-{name}"));
    let is_mkcol = method.as_str() == "MKCOL";
    let outcome = spawn_blocking(move || {
        if is_mkcol {
            fs::create_dir(path)
        } else {
            fs::remove_dir(path)
        }
    });
    let mut response = match outcome.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(()) if is_mkcol => StatusCode::CREATED.into_response(),
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => StatusCode::NOT_FOUND.into_response(),
        Err(error) => files.failed(came, &error),
    };
    response.extensions_mut().insert(Stored(0));
    response
}

fn missing_or_worse(error: &io::Error) -> Response {
    match error.kind() {
        io::ErrorKind::NotFound => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Files {
    /// The files of whoever sent a request.
    fn of(&self, headers: &HeaderMap) -> Option<Store> {
        Some(self.store.part(headers.get(TENANT)?.to_str().ok()?))
    }

    fn failed(&self, Came(came): Came, error: &io::Error) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        match StorageFailure::from_error(error) {
            Some(failure) => {
                self.tally.storage_full(came);
                response.extensions_mut().insert(failure);
            }
            None => self.tally.complain(format!("a handler failed: {error}")),
        }
        response
    }

    /// Breaks what is to be broken, once in twenty uploads.
    fn sabotage(&self) -> Option<Broken> {
        static UPLOADS: AtomicU64 = AtomicU64::new(0);
        static HEAP: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

        let upload = UPLOADS.fetch_add(1, Relaxed) as usize;
        if self.broken.is_empty() || upload % 20 != 19 {
            return None;
        }
        let broken = self.broken[upload / 20 % self.broken.len()];
        match broken {
            Broken::Task => drop(tokio::spawn(std::future::pending::<()>())),
            Broken::Descriptor => std::mem::forget(fs::File::open("/dev/null")),
            Broken::Memory => HEAP.lock().expect("no panic").push(vec![1; 256 << 10]),
            Broken::Hold | Broken::Content | Broken::Answer => {}
        }
        Some(broken)
    }
}
