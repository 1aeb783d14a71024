//! Requests of tenants, and handlers that say what they stored.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_storage_guard::{
    BodyError, Guarded, Ledger, Limit, Reason, Refusal, ResponseBody, StorageGuardBuilder, StorageGuardLayer, Stored,
    TenantFrom, test_util::ScriptedBody,
};

pub(crate) type Answer = Response<ResponseBody<Full<Bytes>>>;

pub(crate) const TENANT: http::HeaderName = http::HeaderName::from_static("x-tenant");

/// Everybody may store this much.
pub(crate) fn ledger(limit: u64) -> Ledger {
    Ledger::builder().default_limit(Limit::bytes(limit)).build().unwrap()
}

pub(crate) fn charging(ledger: &Ledger) -> StorageGuardBuilder {
    StorageGuardLayer::builder().tenant(ledger.clone(), TenantFrom::header(TENANT))
}

/// A request of the tenant `t`. What the handler does is in the path.
pub(crate) fn request<B>(method: Method, path: &str, body: B) -> Request<B> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(TENANT, "t")
        .body(body)
        .unwrap()
}

pub(crate) fn put(bytes: usize) -> Request<Full<Bytes>> {
    request(Method::PUT, "/", Full::from(vec![0; bytes]))
}

pub(crate) fn chunks(frames: &[usize]) -> ScriptedBody {
    frames.iter().fold(ScriptedBody::new(), |body, bytes| body.data(*bytes))
}

/// Reads everything; then `/STATUS` or `/STATUS/CHANGE` is what it answers and tells. `/unread` reads nothing.
pub(crate) async fn handler<B>(request: Request<Guarded<B>>) -> Result<Response<Full<Bytes>>, BoxError>
where
    Guarded<B>: Body<Data = Bytes, Error = BodyError>,
{
    let (parts, body) = request.into_parts();
    let mut words = parts.uri.path().split('/').skip(1);
    let first = words.next().unwrap_or_default();
    if first != "unread" {
        body.collect().await?;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = first
        .parse()
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .unwrap_or_default();
    if let Some(change) = words.next().and_then(|change| change.parse().ok()) {
        response.extensions_mut().insert(Stored(change));
    }
    Ok(response)
}

pub(crate) async fn send<B>(guard: &StorageGuardLayer, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    guard.layer(service_fn(handler::<B>)).oneshot(request).await.unwrap()
}

pub(crate) fn told<B>(response: &Response<B>) -> (u16, Option<Reason>) {
    let refusal = response.extensions().get::<Refusal>();
    (response.status().as_u16(), refusal.map(Refusal::reason))
}

pub(crate) fn usage(ledger: &Ledger) -> (u64, u64) {
    let usage = ledger.usage("t");
    (usage.used, usage.reserved)
}

/// For a service that is called by hand.
pub(crate) fn is_service<S: Service<Request<Full<Bytes>>>>(service: S) -> S {
    service
}
