//! What a browser opens: the page for uploads, and how things stand.

use std::future::ready;

use axum::{
    Router,
    body::Bytes,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    routing::{MethodRouter, get},
};
use tower_storage_guard::{HealthService, Monitor, StatusService};

use crate::tenants::Tenants;

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router(monitor: Monitor, tenants: Option<&Tenants>, shows_tenants: bool) -> Router {
    let readiness = HealthService::readiness(monitor.readiness());
    Router::new()
        .route("/", file("text/html; charset=utf-8", page(tenants)))
        .route(
            "/page.css",
            file("text/css; charset=utf-8", include_str!("page/page.css").to_owned()),
        )
        .route(
            "/page.js",
            file(
                "text/javascript; charset=utf-8",
                include_str!("page/page.js").to_owned(),
            ),
        )
        .route_service("/capacity", StatusService::new(monitor).show_tenants(shows_tenants))
        .route_service("/livez", HealthService::liveness())
        .route_service("/readyz", readiness)
}

/// With the header that names the tenant, which the page's script looks for.
fn page(tenants: Option<&Tenants>) -> String {
    let header = tenants.map_or("", |tenants| tenants.header().as_str());
    // Of what a header's name may contain, only this means something in an attribute.
    let attribute = format!("data-tenant-header=\"{}\"", header.replace('&', "&amp;"));
    include_str!("page/page.html").replace("data-tenant-header=\"\"", &attribute)
}

fn file(content_type: &'static str, text: String) -> MethodRouter {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
    ];
    let text = Bytes::from(text);
    get(move || ready((headers, text.clone())))
}
