mod json;
mod page;
mod prometheus;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use tower::Service;

use super::Monitor;
use crate::respond::Format;

/// Tells how things stand, by `Accept`: a page for people (`text/html`), Prometheus text (`text/plain`, as a scraper
/// asks), else JSON. `?format=html`, `text` or `json` says it in the address.
///
/// It is meant for those who run the service: it tells names of resources, figures, and what a failing probe says. Names
/// and figures of single tenants are shown only with [`show_tenants`](Self::show_tenants).
///
/// ```
/// use tower_storage_guard::{Monitor, StatusService, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let guard = StorageGuardLayer::for_path(path)?;
/// let monitor = Monitor::builder().layer("uploads", &guard).build()?;
/// let app: axum::Router = axum::Router::new().route_service("/capacity", StatusService::new(monitor));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StatusService {
    monitor: Monitor,
    shows_tenants: bool,
}

impl StatusService {
    /// Tells what this monitor sees.
    #[must_use]
    pub const fn new(monitor: Monitor) -> Self {
        Self {
            monitor,
            shows_tenants: false,
        }
    }

    /// Whether the fullest tenants are shown, with their names and figures, on the page and in the JSON. Default: no.
    #[must_use]
    pub fn show_tenants(mut self, show: bool) -> Self {
        if show {
            self.monitor.want_tenants();
        }
        self.shows_tenants = show;
        self
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = document("text/plain; charset=utf-8", "only GET and HEAD\n".to_owned());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let snapshot = self.monitor.snapshot();
        let mut response = match wanted(uri).unwrap_or_else(|| Format::preferred(headers)) {
            Format::Problem => document("application/json", json::write(&snapshot, self.shows_tenants)),
            Format::Text => document("text/plain; version=0.0.4; charset=utf-8", prometheus::write(&snapshot)),
            Format::Page => {
                let page = page::write(&snapshot, &self.monitor.history(&snapshot), self.shows_tenants);
                let mut response = document("text/html; charset=utf-8", page);
                let headers = response.headers_mut();
                headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
                headers.insert(
                    HeaderName::from_static("referrer-policy"),
                    HeaderValue::from_static("no-referrer"),
                );
                response
            }
        };
        if method == Method::HEAD {
            *response.body_mut() = Full::default();
        }
        response
    }
}

impl<B> Service<Request<B>> for StatusService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri(), request.headers())))
    }
}

/// What the address asks for.
fn wanted(uri: &Uri) -> Option<Format> {
    let format = uri
        .query()?
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("format="))?;
    match format {
        "html" => Some(Format::Page),
        "json" => Some(Format::Problem),
        "text" | "prometheus" => Some(Format::Text),
        _ => None,
    }
}

fn document(content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let length = text.len();
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
