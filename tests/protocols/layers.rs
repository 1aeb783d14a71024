//! What the guide says of the order of layers, with the stack that it shows.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    middleware::{self, Next},
    response::Response,
    routing::put,
};
use http::{Method, StatusCode, header};
use tower::ServiceExt;
use tower_http::{cors::CorsLayer, decompression::RequestDecompressionLayer, trace::TraceLayer};
use tower_storage_guard::{State, StorageGuardLayer, test_util::FakeResource};

/// 1000 zeros.
const GZIPPED: [u8; 29] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x63, 0x60, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x0c, 0x77,
    0x00, 0x00, 0x80, 0x17, 0x0b, 0x06, 0xe8, 0x03, 0x00, 0x00,
];

fn guard(disk: &FakeResource) -> StorageGuardLayer {
    let guard = StorageGuardLayer::builder().resource(disk.resource()).build();
    guard.expect("valid settings")
}

fn app(disk: &FakeResource) -> Router {
    Router::new()
        .route("/files/{name}", put(store))
        .layer(guard(disk))
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::from_fn(authenticate))
        .layer(CorsLayer::permissive().expose_headers([header::RETRY_AFTER]))
        .layer(TraceLayer::new_for_http())
}

async fn authenticate(request: Request, next: Next) -> Result<Response, StatusCode> {
    match request.headers().get(header::AUTHORIZATION) {
        Some(value) if value == "Bearer secret" => Ok(next.run(request).await),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn store(_: Bytes) -> StatusCode {
    StatusCode::CREATED
}

async fn send(app: Router, request: http::request::Builder, body: impl Into<Body>) -> Response {
    let request = request.body(body.into()).expect("a request");
    app.oneshot(request).await.expect("it never fails")
}

fn upload() -> http::request::Builder {
    Request::put("/files/a").header(header::AUTHORIZATION, "Bearer secret")
}

#[tokio::test]
async fn what_is_unpacked_is_counted() {
    let zipped = || upload().header(header::CONTENT_ENCODING, "gzip");
    let disk = FakeResource::new(10_000, 1000);
    assert_eq!(send(app(&disk), zipped(), GZIPPED.to_vec()).await.status(), 201);
    let disk = FakeResource::new(10_000, 999);
    assert_eq!(send(app(&disk), zipped(), GZIPPED.to_vec()).await.status(), 507);
    assert_eq!(send(app(&disk), upload(), GZIPPED.to_vec()).await.status(), 201);
}

#[tokio::test]
async fn strangers_and_preflights_do_not_meet_the_guard() {
    let disk = FakeResource::new(1000, 500);
    disk.force_state(Some(State::Full));
    assert_eq!(send(app(&disk), upload(), "content").await.status(), 507);
    assert_eq!(
        send(app(&disk), Request::put("/files/a"), "content").await.status(),
        401
    );
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/files/a")
        .header(header::ORIGIN, "https://elsewhere.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
    assert_eq!(send(app(&disk), preflight, ()).await.status(), 200);
}

#[tokio::test]
async fn pages_of_other_origins_may_read_the_refusal() {
    let disk = FakeResource::new(1000, 500);
    let request = upload().header(header::ORIGIN, "https://elsewhere.example");
    let refused = send(app(&disk), request, vec![0; 501]).await;
    assert_eq!(refused.status(), 507);
    assert_eq!(refused.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(refused.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS], "retry-after");
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_404_only_by_route_layer() {
    let disk = FakeResource::new(1000, 500);
    let router = Router::new().route("/files/{name}", put(store));
    let elsewhere = || Request::put("/elsewhere");
    let all = router.clone().layer(guard(&disk));
    assert_eq!(send(all, elsewhere(), vec![0; 501]).await.status(), 507);
    let routes = router.route_layer(guard(&disk));
    assert_eq!(send(routes.clone(), elsewhere(), vec![0; 501]).await.status(), 404);
    assert_eq!(send(routes, upload(), vec![0; 501]).await.status(), 507);
}
