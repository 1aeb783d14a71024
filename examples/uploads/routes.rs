//! The HTTP side.

use std::io;

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequestParts, Path, State},
    http::{
        Method, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
        request,
    },
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::{fs::File, io::AsyncReadExt};
use tower::ServiceBuilder;
use tower_http::{
    cors::{Any, CorsLayer},
    trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer},
};
use tower_storage_guard::{Resource, StorageFailure, StorageGuardLayer, Stored};
use tracing::Level;

use crate::{
    quota,
    store::{Committed, Entry, FileName, Removed, Store},
    tenants::{CountError, Tenant, Tenants},
    turns,
};

pub(crate) fn router(store: Store, tenants: Option<Tenants>, disk: Resource, guard: StorageGuardLayer) -> Router {
    let file = get(download).put(upload).delete(remove);
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO))
        // A 507 would count as one, but is no fault of the server's.
        .on_failure(());
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::PUT, Method::DELETE])
        .allow_headers(Any)
        .expose_headers([RETRY_AFTER]);
    Router::new()
        .route("/files", get(list))
        // So that an empty name is told from a wrong path.
        .route("/files/", file.clone())
        .route("/files/{*name}", file)
        // The refusal is traced, and readable for browsers, because the guard is inside.
        .layer(
            ServiceBuilder::new()
                .layer(trace)
                .layer(cors)
                .map_response(turns::end)
                .layer(guard),
        )
        .with_state(Files { store, tenants, disk })
}

#[derive(Clone)]
struct Files {
    store: Store,
    tenants: Option<Tenants>,
    disk: Resource,
}

/// The files that a request is about: all, or those of the tenant who sent it.
struct Home {
    store: Store,
    tenant: Option<Tenant>,
}

async fn upload(home: Home, name: FileName, body: Body) -> Result<Response, Failure> {
    if let Some(tenant) = &home.tenant {
        tenant.count().await?;
    }
    let mut upload = home.store.begin().await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.try_next().await? {
        upload.write(&chunk).await?;
    }
    // Nothing is awaited from here on, so that the guard hears of it also when the client is gone.
    Ok(committed(upload.commit(&name).await?))
}

fn committed(committed: Committed) -> Response {
    let Committed {
        replaced,
        size,
        durable,
        turn,
    } = committed;
    let mut response = match (durable, replaced) {
        (Err(error), _) => Failure::Storage(error).into_response(),
        (Ok(()), None) => StatusCode::CREATED.into_response(),
        (Ok(()), Some(_)) => StatusCode::NO_CONTENT.into_response(),
    };
    let extensions = response.extensions_mut();
    extensions.insert(Stored::instead_of(replaced.unwrap_or(0), size));
    extensions.insert(turn);
    response
}

async fn download(home: Home, name: FileName) -> Result<impl IntoResponse, Failure> {
    let (file, size) = home.store.read(&name).await.map_err(Failure::reading)?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, Body::from_stream(chunks(file))))
}

fn chunks(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async {
        let mut chunk = BytesMut::with_capacity(64 << 10);
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (chunk.freeze(), file)))
    })
}

async fn remove(State(files): State<Files>, home: Home, name: FileName) -> Result<Response, Failure> {
    let Removed { size, turn } = home.store.remove(&name).await.map_err(Failure::reading)?;
    // Whoever makes room wants to use it now, not after the next regular look at the disk.
    files.disk.kick();
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(Stored::freed(size));
    response.extensions_mut().insert(turn);
    Ok(response)
}

async fn list(home: Home) -> Result<Json<Vec<Value>>, Failure> {
    let entries = home.store.list().await?;
    Ok(Json(entries.iter().map(json).collect()))
}

fn json(Entry { name, size }: &Entry) -> Value {
    json!({ "name": name.as_str(), "size": size })
}

impl FromRequestParts<Files> for Home {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, files: &Files) -> Result<Self, Response> {
        let Some(tenants) = &files.tenants else {
            let store = files.store.clone();
            return Ok(Self { store, tenant: None });
        };
        let tenant = tenants.of(parts).ok_or_else(|| quota::missing(tenants))?;
        let store = tenant.store.clone();
        Ok(Self {
            store,
            tenant: Some(tenant),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for FileName {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Response> {
        let path = Option::<Path<String>>::from_request_parts(parts, state).await;
        let name = path
            .map_err(IntoResponse::into_response)?
            .map_or_else(String::new, |Path(name)| name);
        name.parse()
            .map_err(|flaw| (StatusCode::BAD_REQUEST, format!("{flaw}\n")).into_response())
    }
}

enum Failure {
    Missing,
    Body(axum::Error),
    Storage(io::Error),
    Uncounted(CountError),
}

impl Failure {
    fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Storage(error),
        }
    }
}

impl From<axum::Error> for Failure {
    fn from(error: axum::Error) -> Self {
        Self::Body(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<CountError> for Failure {
    fn from(error: CountError) -> Self {
        Self::Uncounted(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
            // Either the client is gone, or the guard has stopped the upload and puts its own answer in place of this.
            Self::Body(error) => (StatusCode::BAD_REQUEST, format!("the upload broke off: {error}\n")).into_response(),
            Self::Uncounted(error) => quota::unknown(&error),
            Self::Storage(error) => {
                tracing::error!(%error, "the storage failed");
                let mut response = (StatusCode::INTERNAL_SERVER_ERROR, "the storage failed\n").into_response();
                // A disk that is full after all becomes the guard's refusal.
                if let Some(failure) = StorageFailure::from_error(&error) {
                    response.extensions_mut().insert(failure);
                }
                response
            }
        }
    }
}
