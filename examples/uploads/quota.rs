//! `GET /quota`: what the tenant who asks has stored, and may.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::tenants::Tenants;

pub(crate) fn router(tenants: Tenants) -> Router {
    Router::new().route("/quota", get(quota)).with_state(tenants)
}

async fn quota(State(tenants): State<Tenants>, parts: Parts) -> Response {
    let Some(tenant) = tenants.of(&parts) else {
        return missing(&tenants);
    };
    match tenant.usage().await {
        Ok(usage) => {
            let limit = usage.limit.as_bytes();
            Json(json!({
                "used": usage.used,
                "reserved": usage.reserved,
                "held_elsewhere": usage.held_elsewhere,
                "limit": limit,
                "available": limit.map(|_| usage.available()),
            }))
            .into_response()
        }
        Err(error) => unknown(&error),
    }
}

/// The request does not say whose files it is about.
pub(crate) fn missing(tenants: &Tenants) -> Response {
    let words = format!("the header {} must name the tenant\n", tenants.header());
    (StatusCode::FORBIDDEN, words).into_response()
}

/// It is not known what the tenant has stored.
pub(crate) fn unknown(error: &crate::tenants::CountError) -> Response {
    let words = format!("{error}; try again later\n");
    let retry = [(axum::http::header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, words).into_response()
}
