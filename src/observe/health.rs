use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use tower::Service;

use super::ReadinessHandle;

/// Answers health checks with one word, from what is known already: neither a hung probe nor a slow disk delays it.
///
/// ```
/// use tower_storage_guard::{HealthService, Monitor, Resource, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let guard = StorageGuardLayer::for_path(path)?;
/// let monitor = Monitor::builder().layer("uploads", &guard).build()?;
/// let app: axum::Router = axum::Router::new()
///     .route_service("/livez", HealthService::liveness())
///     .route_service("/readyz", HealthService::readiness(monitor.readiness()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HealthService {
    readiness: Option<ReadinessHandle>,
}

impl HealthService {
    /// Always 200: a process is not to be restarted because a disk is full.
    #[must_use]
    pub const fn liveness() -> Self {
        Self { readiness: None }
    }

    /// 200 with `ready` or `near`, 503 with `full`. While all layers only report it is 200 as well, with the same words.
    ///
    /// Whoever takes a full server out of service takes its downloads and deletions out too, and with the last one the
    /// way to make room: use it for what stores only, or where there are other servers.
    #[must_use]
    pub const fn readiness(readiness: ReadinessHandle) -> Self {
        Self {
            readiness: Some(readiness),
        }
    }
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let (status, words) = match &self.readiness {
            None => (StatusCode::OK, "alive\n".to_owned()),
            Some(readiness) => {
                let status = if readiness.refuses() {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::OK
                };
                (status, format!("{}\n", readiness.now()))
            }
        };
        let mut response = Response::new(Full::from(words));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        ready(Ok(response))
    }
}
