//! What a browser opens: the page for uploads, and how things stand.

use std::future::ready;

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    routing::{MethodRouter, get},
};
use tower_storage_guard::{HealthService, Monitor, StatusService};

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router(monitor: Monitor) -> Router {
    let readiness = HealthService::readiness(monitor.readiness());
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/page.html")))
        .route(
            "/page.css",
            file("text/css; charset=utf-8", include_str!("page/page.css")),
        )
        .route(
            "/page.js",
            file("text/javascript; charset=utf-8", include_str!("page/page.js")),
        )
        .route_service("/capacity", StatusService::new(monitor))
        .route_service("/livez", HealthService::liveness())
        .route_service("/readyz", readiness)
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || ready((headers, text)))
}
