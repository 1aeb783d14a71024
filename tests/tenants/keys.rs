//! On whose account a request is.

use http::{HeaderValue, Method, Request, request::Parts};
use http_body_util::{Empty, Full};
use tower_storage_guard::{Ledger, Limit, MissingTenant, Reason, Refusal, StorageGuardLayer, TenantFrom};

use crate::support::*;

fn named(limit: u64, name: &str) -> Ledger {
    Ledger::builder()
        .name(name)
        .default_limit(Limit::bytes(limit))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_name_that_is_left_out_is_no_way_around_a_limit() {
    let ledger = ledger(100);
    let nameless = || Request::put("/").body(Full::from("abc")).unwrap();
    let guard = charging(&ledger).build().unwrap();
    assert_eq!(
        told(&send(&guard, nameless()).await),
        (403, Some(Reason::UnknownTenant))
    );
    let mut twice = put(3);
    twice.headers_mut().append(TENANT, HeaderValue::from_static("u"));
    assert_eq!(told(&send(&guard, twice).await), (403, Some(Reason::UnknownTenant)));
    let get = Request::get("/").body(Empty::new()).unwrap();
    assert_eq!(told(&send(&guard, get).await), (200, None), "stores nothing");

    let guard = charging(&ledger).missing_tenant(MissingTenant::Pass).build().unwrap();
    assert_eq!(told(&send(&guard, nameless()).await), (200, None));
    assert_eq!(ledger.report().tenants, 0);

    let shared = MissingTenant::Shared("guests".into());
    let guard = charging(&ledger).missing_tenant(shared).build().unwrap();
    assert_eq!(told(&send(&guard, nameless()).await), (200, None));
    assert_eq!(ledger.usage("guests").used, 3);
}

#[tokio::test]
async fn several_accounts_are_charged_all_or_none() {
    let (organisations, users) = (named(100, "organisations"), named(60, "users"));
    let key = |parts: &Parts| Some(parts.uri.query()?.to_owned());
    let guard = StorageGuardLayer::builder()
        .tenant(organisations.clone(), TenantFrom::header(TENANT))
        .tenant(users.clone(), key)
        .build()
        .unwrap();
    let put = |user: &str, bytes| {
        let mut request = put(bytes);
        *request.uri_mut() = format!("/?{user}").parse().unwrap();
        request
    };
    let used = || {
        let sum = ["a", "b"].map(|user| users.usage(user).used);
        (organisations.usage("t").used, sum)
    };
    assert_eq!(told(&send(&guard, put("a", 50)).await), (200, None));
    assert_eq!(used(), (50, [50, 0]));
    // The user's limit, then the organisation's; nothing is left reserved of the other.
    let response = send(&guard, put("a", 20)).await;
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!((refusal.resource(), refusal.tenant()), (Some("users"), Some("a")));
    assert_eq!((refusal.reason(), refusal.limit()), (Reason::Quota, Some(60)));
    let response = send(&guard, put("b", 55)).await;
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(
        (refusal.resource(), refusal.tenant()),
        (Some("organisations"), Some("t"))
    );
    assert_eq!(used(), (50, [50, 0]));
    assert_eq!(users.report().tenants, 1, "b has nothing");
    // For now because of the organisation, for good because of the user: the latter is the answer.
    assert_eq!(
        told(&send(&guard, put("b", 61)).await),
        (413, Some(Reason::ExceedsQuota))
    );
    // All that the user may ever have is not too much.
    assert_eq!(told(&send(&guard, put("b", 60)).await), (507, Some(Reason::Quota)));
    assert_eq!(told(&send(&guard, put("b", 50)).await), (200, None));
    assert_eq!(used(), (100, [50, 50]));
}

#[tokio::test]
async fn an_extension_and_a_path_name_tenants_too() {
    #[derive(Clone)]
    struct User(String);
    let (users, buckets) = (named(100, "users"), named(100, "buckets"));
    let guard = StorageGuardLayer::builder()
        .tenant(users.clone(), TenantFrom::extension(|User(name)| name))
        .tenant(buckets.clone(), TenantFrom::path_segment(1))
        .build()
        .unwrap();
    let mut request = request(Method::PUT, "/201/5", Full::from("12345"));
    request.extensions_mut().insert(User("alice".to_owned()));
    send(&guard, request).await;
    assert_eq!((users.usage("alice").used, buckets.usage("5").used), (5, 5));
}

#[test]
fn settings_without_sense_are_named() {
    let ledger = ledger(1);
    let of = |number| {
        (0..number).fold(StorageGuardLayer::builder(), |builder, _| {
            builder.tenant(ledger.clone(), TenantFrom::header(TENANT))
        })
    };
    of(4).build().unwrap();
    assert_eq!(of(5).build().unwrap_err().setting(), "tenant");
    let nameless = charging(&ledger).missing_tenant(MissingTenant::Shared("".into()));
    assert_eq!(nameless.build().unwrap_err().setting(), "missing_tenant");
    let named = charging(&ledger).missing_tenant(MissingTenant::Shared("others".into()));
    named.build().unwrap();
}
