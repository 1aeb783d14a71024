//! What of a request ends up on the account.

use http::{HeaderMap, Method, StatusCode, request::Parts};
use http_body_util::{BodyExt, Empty, Full};
use tower_storage_guard::{Class, Reason, Stored};

use crate::support::*;

#[tokio::test]
async fn what_came_counts_when_the_response_says_so() {
    let ledger = ledger(1000);
    let guard = charging(&ledger).build().unwrap();
    for (path, counts) in [
        ("/", 10),
        ("/201", 10),
        ("/204", 10),
        ("/304", 0),
        ("/400", 0),
        ("/500", 0),
        ("/unread", 0),
    ] {
        let before = usage(&ledger).0;
        let response = send(&guard, request(Method::PUT, path, Full::from("ten bytes."))).await;
        assert_eq!(told(&response).1, None);
        assert_eq!(usage(&ledger), (before + counts, 0), "{path}");
    }
    let response = send(&guard, request(Method::PUT, "/", chunks(&[3, 4, 5]))).await;
    assert_eq!(told(&response), (200, None));
    assert_eq!(usage(&ledger), (42, 0));
}

#[tokio::test]
async fn what_the_handler_says_is_stronger() {
    let ledger = ledger(1000);
    let guard = charging(&ledger).build().unwrap();
    for (path, used) in [
        ("/200/7", 7),
        ("/500/20", 27),
        ("/200/-7", 20),
        ("/200/0", 20),
        ("/200/-100", 0),
        ("/200/3", 3),
    ] {
        send(&guard, request(Method::PUT, path, Full::from("ten bytes."))).await;
        assert_eq!(usage(&ledger), (used, 0), "{path}");
    }
    // More than came, and more than may be: it is there.
    send(&guard, request(Method::PUT, "/200/5000", Full::from("x"))).await;
    assert_eq!(usage(&ledger), (5003, 0));
}

#[tokio::test]
async fn an_overwrite_is_charged_its_difference() {
    let ledger = ledger(100);
    let guard = charging(&ledger).build().unwrap();
    send(&guard, put(40)).await;
    let Stored(change) = Stored::instead_of(40, 30);
    send(
        &guard,
        request(Method::PUT, &format!("/200/{change}"), Full::from(vec![0; 30])),
    )
    .await;
    assert_eq!(usage(&ledger), (30, 0));
    assert_eq!((Stored::new(5), Stored::freed(5)), (Stored(5), Stored(-5)));
    assert_eq!(Stored::new(u64::MAX), Stored(i64::MAX));
    assert_eq!(Stored::freed(u64::MAX), Stored(i64::MIN));
}

#[tokio::test]
async fn a_delete_is_let_through_and_credited() {
    let ledger = ledger(100);
    let guard = charging(&ledger).build().unwrap();
    send(&guard, put(100)).await;
    assert_eq!(told(&send(&guard, put(1)).await), (507, Some(Reason::Quota)));
    let response = send(&guard, request(Method::DELETE, "/204/-60", Empty::new())).await;
    assert_eq!(told(&response), (204, None));
    assert_eq!(usage(&ledger), (40, 0));
    assert_eq!(told(&send(&guard, put(60)).await), (200, None));
    // A delete that says nothing changes nothing, nor does one of nobody, whatever its body is.
    send(&guard, request(Method::DELETE, "/200", Full::from("why"))).await;
    let mut of_nobody = request(Method::DELETE, "/204/-60", Empty::new());
    of_nobody.headers_mut().clear();
    assert_eq!(told(&send(&guard, of_nobody).await), (204, None));
    assert_eq!(usage(&ledger), (100, 0));
}

#[tokio::test]
async fn what_a_classifier_declares_counts_without_a_body() {
    let ledger = ledger(100);
    let copies = |_: &http::request::Parts| Class::StoresBytes(60);
    let guard = charging(&ledger).classifier(copies).build().unwrap();
    let copy = |path| request(Method::POST, path, Empty::new());
    assert_eq!(told(&send(&guard, copy("/500")).await), (500, None));
    assert_eq!(usage(&ledger), (0, 0));
    assert_eq!(told(&send(&guard, copy("/201")).await), (201, None));
    assert_eq!(usage(&ledger), (60, 0));
    assert_eq!(told(&send(&guard, copy("/201")).await), (507, Some(Reason::Quota)));
    // Whatever the method.
    let fetch = request(Method::GET, "/200", Empty::new());
    assert_eq!(told(&send(&guard, fetch).await), (507, Some(Reason::Quota)));
}

#[tokio::test]
async fn which_responses_count_can_be_set() {
    let ledger = ledger(100);
    let created = |status: StatusCode, _: &HeaderMap| status == StatusCode::CREATED;
    let guard = charging(&ledger).stored_if(created).build().unwrap();
    send(&guard, request(Method::PUT, "/200", Full::from("no"))).await;
    assert_eq!(usage(&ledger), (0, 0));
    send(&guard, request(Method::PUT, "/201", Full::from("yes"))).await;
    assert_eq!(usage(&ledger), (3, 0));
}

#[tokio::test]
async fn a_grpc_call_that_failed_stored_nothing() {
    use tower::{Layer, ServiceExt, service_fn};
    let ledger = ledger(100);
    let guard = charging(&ledger).build().unwrap();
    for (code, used) in [("13", 0), ("0", 10)] {
        let service = service_fn(
            move |request: http::Request<tower_storage_guard::Guarded<Full<bytes::Bytes>>>| async move {
                request.into_body().collect().await?;
                let response = http::Response::builder().header("grpc-status", code);
                Ok::<_, tower::BoxError>(response.body(Full::<bytes::Bytes>::default())?)
            },
        );
        guard.layer(service).oneshot(put(10)).await.unwrap();
        assert_eq!(usage(&ledger), (used, 0), "{code}");
    }
}

#[tokio::test]
async fn what_is_under_way_is_reserved_and_whoever_goes_away_leaves_nothing() {
    use std::future::pending;
    use tower::{Layer, Service, service_fn};
    let ledger = ledger(100);
    let guard = charging(&ledger).build().unwrap();
    let mut service = is_service(guard.layer(service_fn(|request: http::Request<_>| async move {
        let _body: tower_storage_guard::Guarded<Full<bytes::Bytes>> = request.into_body();
        pending::<Result<http::Response<Full<bytes::Bytes>>, tower::BoxError>>().await
    })));
    let under_way = service.call(put(70));
    assert_eq!(usage(&ledger), (0, 70));
    assert_eq!(told(&send(&guard, put(31)).await), (507, Some(Reason::Quota)));
    drop(under_way);
    assert_eq!(usage(&ledger), (0, 0));
    assert_eq!(ledger.report().tenants, 0);
}

/// RFC 9110 section 9.2.1.
#[tokio::test]
async fn safe_method_frees_nothing() {
    let ledger = ledger(1000);
    ledger.charge("t", 500);
    let exempts = |_: &Parts| Class::Exempt;
    for builder in [charging(&ledger), charging(&ledger).classifier(exempts)] {
        let read = request(Method::GET, "/200/-7", Empty::new());
        send(&builder.build().unwrap(), read).await;
        assert_eq!(usage(&ledger), (500, 0));
    }
}
