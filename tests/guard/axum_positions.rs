//! Every place that axum has for a layer, and the stack of a real server around it.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    handler::Handler,
    routing::{get, put},
};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::{
    catch_panic::CatchPanicLayer, cors::CorsLayer, map_request_body::MapRequestBodyLayer, trace::TraceLayer,
};
use tower_storage_guard::{Reason, StorageGuardLayer};

use crate::support::{chunks, disk, guarding, reason};

async fn store(body: Bytes) -> String {
    body.len().to_string()
}

fn layer() -> StorageGuardLayer {
    guarding(disk(1000).resource()).build().unwrap()
}

async fn check(router: Router) {
    let send = |body: Body| router.clone().oneshot(Request::put("/").body(body).unwrap());
    let response = send(Body::from(vec![0; 10])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "10");
    let early = send(Body::from(vec![0; 1001])).await.unwrap();
    assert_eq!((early.status().as_u16(), reason(&early)), (507, Some(Reason::Space)));
    // Through an extractor that answers 400 or 500 of its own.
    let late = send(Body::new(chunks(&[600, 600]))).await.unwrap();
    assert_eq!((late.status().as_u16(), reason(&late)), (507, Some(Reason::Space)));
}

#[tokio::test]
async fn on_the_router_its_routes_a_method_and_a_handler() {
    check(Router::new().route("/", put(store)).layer(layer())).await;
    check(Router::new().route("/", put(store)).route_layer(layer())).await;
    check(Router::new().route("/", put(store).layer(layer()))).await;
    check(Router::new().route("/", put(store.layer(layer())))).await;
    check(Router::new().fallback_service(Router::new().route("/", put(store)).layer(layer()))).await;
}

#[tokio::test]
async fn around_the_whole_router() {
    let router = Router::new().route("/", put(store));
    let whole = ServiceBuilder::new()
        .layer(layer())
        .layer(MapRequestBodyLayer::new(Body::new))
        .service(router);
    let send = |bytes: usize| {
        whole
            .clone()
            .oneshot(Request::put("/").body(Body::from(vec![0; bytes])).unwrap())
    };
    assert_eq!(send(10).await.unwrap().status(), 200);
    assert_eq!(send(1001).await.unwrap().status(), 507);
}

/// Axum makes one service for each route and method; they share one account.
#[tokio::test]
async fn routes_share_the_account() {
    let disk = disk(1000);
    let router = Router::new()
        .route("/", put(store))
        .route("/other", put(store))
        .layer(guarding(disk.resource()).build().unwrap());
    let send = |path: &str| {
        router
            .clone()
            .oneshot(Request::put(path).body(Body::from(vec![0; 600])).unwrap())
    };
    assert_eq!(send("/").await.unwrap().status(), 200);
    assert_eq!(send("/other").await.unwrap().status(), 507);
}

/// With `CorsLayer` outside, a page of another origin can read the refusal, and preflights never meet the guard.
#[tokio::test]
async fn inside_tracing_cors_and_panic_catching() {
    let disk = disk(1000);
    disk.force_state(Some(tower_storage_guard::State::Full));
    let router = Router::new()
        .route("/", put(store).get(|| async { "here" }))
        .route("/panic", get(panics))
        .layer(guarding(disk.resource()).build().unwrap())
        .layer(CatchPanicLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http());
    let send = |method: Method, path: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ORIGIN, "https://elsewhere.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
        router.clone().oneshot(request.body(Body::from("content")).unwrap())
    };
    let refused = send(Method::PUT, "/").await.unwrap();
    assert_eq!(refused.status(), 507);
    assert_eq!(refused.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(send(Method::OPTIONS, "/").await.unwrap().status(), 200);
    assert_eq!(send(Method::GET, "/").await.unwrap().status(), 200);
    assert_eq!(send(Method::GET, "/panic").await.unwrap().status(), 500);
}

async fn panics() -> StatusCode {
    std::panic::resume_unwind(Box::new("a handler that panics"))
}
