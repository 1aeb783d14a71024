//! A hint tells the length of the whole file. It never proves that a body cannot grow.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, request::Parts};
use http_body::{Body, Frame, SizeHint};
use tempfile::TempDir;
use tower_storage_guard::{
    Class, FileStore, Leasing, Ledger, Limit, Reason, StorageGuardLayer, TenantFrom,
    test_util::{FakeResource, FakeStore, ScriptError, ScriptedBody},
};

use crate::support::*;

const LIMIT: u64 = 1 << 20;
/// Of these 149 fit.
const SMALL: usize = 7000;
/// Of these 5 fit.
const LARGE: usize = 200_000;

const METHODS: [&str; 7] = ["PUT", "POST", "PATCH", "COPY", "MKCOL", "PROPPATCH", "APPEND"];

const HINTS: [&str; 4] = [
    "upload-length",
    "x-expected-entity-length",
    "oc-total-length",
    "x-amz-decoded-content-length",
];

/// A ledger, and the directory of its file.
struct Kept {
    name: &'static str,
    ledger: Ledger,
    _directory: Option<TempDir>,
}

fn in_memory() -> Kept {
    Kept {
        name: "in memory",
        ledger: ledger(LIMIT),
        _directory: None,
    }
}

fn in_a_file() -> Kept {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("ledger")).unwrap();
    Kept {
        name: "in a file",
        ledger: leased(Leasing::alone(store)),
        _directory: Some(directory),
    }
}

fn in_a_store() -> Kept {
    Kept {
        name: "in a store",
        ledger: leased(Leasing::new(FakeStore::new()).node("here")),
        _directory: None,
    }
}

fn leased(leasing: Leasing) -> Ledger {
    // Longer than any machine is busy: no request is refused for want of an answer.
    let leasing = leasing.wait_at_most(Duration::from_secs(300));
    let builder = Ledger::builder().default_limit(Limit::bytes(LIMIT));
    builder.leasing(leasing).build().unwrap()
}

/// A request of unknown length whose body comes in one frame, after a pause in which others have their turn.
fn growing(method: &str, hint: Option<(&str, &str)>, bytes: usize) -> Request<ScriptedBody> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut growing = request(method, "/", ScriptedBody::new().pause().data(bytes));
    if let Some((name, value)) = hint {
        let name: http::HeaderName = name.parse().unwrap();
        growing.headers_mut().insert(name, value.parse().unwrap());
    }
    growing
}

/// Sends so many requests, so many at a time, and sums up what was stored of them.
async fn store<B>(guard: &StorageGuardLayer, count: usize, at_once: usize, make: impl Fn() -> Request<B>) -> u64
where
    B: Body<Data = Bytes, Error = ScriptError> + Send + Unpin + 'static,
{
    let requests = stream::iter((0..count).map(|_| {
        let request = make();
        async move {
            match told(&send(guard, request).await) {
                (200, None) => 1,
                (507, Some(Reason::Quota)) => 0,
                other => panic!("{other:?}"),
            }
        }
    }));
    requests
        .buffer_unordered(at_once)
        .fold(0, async |stored, one| stored + one)
        .await
}

#[tokio::test]
async fn zero_hint_does_not_lift_the_limit() {
    for kept in [in_memory(), in_a_file(), in_a_store()] {
        let guard = charging(&kept.ledger).build().unwrap();
        let make = || growing("PUT", Some(("upload-length", "0")), SMALL);
        let stored = store(&guard, 1000, 1, make).await;
        assert_eq!(stored, LIMIT / SMALL as u64, "{}: all that fits is stored", kept.name);
        assert_eq!(usage(&kept.ledger), (stored * SMALL as u64, 0), "{}", kept.name);
    }
}

#[tokio::test]
async fn zero_hint_does_not_lift_the_limit_at_once() {
    for kept in [in_memory(), in_a_file(), in_a_store()] {
        for bytes in [SMALL, LARGE] {
            let guard = charging(&kept.ledger).build().unwrap();
            let make = || growing("PUT", Some(("upload-length", "0")), bytes);
            let stored = store(&guard, 1000, 50, make).await * bytes as u64;
            assert!(
                stored <= LIMIT,
                "{}: {stored} of {LIMIT} bytes in frames of {bytes}",
                kept.name
            );
            assert!(stored > 0, "{}: some fit", kept.name);
            assert_eq!(usage(&kept.ledger), (stored, 0), "{}", kept.name);
            kept.ledger.credit("t", stored);
        }
    }
}

#[tokio::test]
async fn growing_proppatch_without_hint_stays_in_limit() {
    for kept in [in_memory(), in_a_file(), in_a_store()] {
        let guard = charging(&kept.ledger).build().unwrap();
        let stored = store(&guard, 1000, 1, || growing("PROPPATCH", None, SMALL)).await;
        assert_eq!(stored, LIMIT / SMALL as u64, "{}: all that fits is stored", kept.name);
    }
}

/// Every method by every hint, each on the account of a tenant of its own.
#[tokio::test]
async fn growing_body_of_any_method_stays_in_limit() {
    let kept = in_a_store();
    let guard = charging(&kept.ledger).build().unwrap();
    for method in METHODS {
        let hints = HINTS.into_iter().flat_map(|name| [(name, "0"), (name, "1000")]);
        for hint in hints.map(Some).chain([None]) {
            let tenant = format!("{method} {hint:?}").replace('"', "");
            let make = || {
                let mut growing = growing(method, hint, LARGE);
                growing.headers_mut().insert(TENANT, tenant.parse().unwrap());
                growing
            };
            let stored = store(&guard, 10, 1, make).await;
            assert_eq!(stored, LIMIT / LARGE as u64, "{tenant}");
            assert_eq!(kept.ledger.usage(&tenant).used, stored * LARGE as u64, "{tenant}");
        }
    }
}

#[tokio::test]
async fn growing_body_of_any_class_stays_in_limit() {
    for class in [
        Class::Stores,
        Class::Creates,
        Class::StoresBytes(0),
        Class::StoresBytes(1000),
    ] {
        let kept = in_a_store();
        let guard = charging(&kept.ledger).classifier(move |_: &Parts| class);
        let stored = store(&guard.build().unwrap(), 10, 1, || growing("PUT", None, LARGE)).await;
        assert_eq!(stored, LIMIT / LARGE as u64, "{class:?}");
    }
}

/// A body that knows how long it is at least.
struct AtLeast(ScriptedBody, u64);

impl Body for AtLeast {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.1);
        hint
    }
}

#[tokio::test]
async fn lower_bound_does_not_lift_the_limit() {
    for bound in [1, 1000] {
        let kept = in_a_store();
        let guard = charging(&kept.ledger).build().unwrap();
        let make = || growing("PUT", None, LARGE).map(|body| AtLeast(body, bound));
        let stored = store(&guard, 10, 1, make).await;
        assert_eq!(stored, LIMIT / LARGE as u64, "at least {bound} bytes");
    }
}

/// As after a layer that changes the body and leaves the header.
#[tokio::test]
async fn length_header_of_growing_body_lifts_no_limit() {
    for length in ["0", "1000"] {
        let kept = in_a_store();
        let guard = charging(&kept.ledger).build().unwrap();
        let stored = store(&guard, 10, 1, || {
            growing("PUT", Some(("content-length", length)), LARGE)
        })
        .await;
        assert_eq!(stored, LIMIT / LARGE as u64, "a length of {length}");
    }
}

/// The disk refuses the prefetch and takes the frame. The ledger must be asked all the same.
#[tokio::test]
async fn disk_short_of_room_lifts_no_limit() {
    for free in [300_000, 900_000, 2_000_000] {
        let (kept, disk) = (in_a_store(), FakeResource::new(1 << 40, free));
        let guard = charging(&kept.ledger).resource(disk.resource()).build().unwrap();
        let mut stored = 0;
        for _ in 0..10 {
            stored += store(&guard, 1, 1, || growing("PUT", None, LARGE)).await;
            disk.sample();
        }
        assert_eq!(stored, LIMIT / LARGE as u64, "{free} bytes are free");
    }
}

/// The first of two ledgers refuses the prefetch.
#[tokio::test]
async fn small_ledger_beside_it_lifts_no_limit() {
    for total in [300_000, 900_000, 2_000_000] {
        let (kept, organisation) = (in_a_store(), ledger(total));
        let everybody = |_: &Parts| Some("everybody".to_owned());
        let guard = StorageGuardLayer::builder()
            .tenant(organisation.clone(), everybody)
            .tenant(kept.ledger.clone(), TenantFrom::header(TENANT));
        let guard = guard.build().unwrap();
        let mut stored = 0;
        for _ in 0..10 {
            stored += store(&guard, 1, 1, || growing("PUT", None, LARGE)).await;
            organisation.credit("everybody", LARGE as u64);
        }
        assert_eq!(stored, LIMIT / LARGE as u64, "a limit of {total} for all");
    }
}

#[tokio::test]
async fn required_length_is_not_replaced_by_a_hint() {
    let kept = in_memory();
    let guard = charging(&kept.ledger).require_length(true).build().unwrap();
    for method in METHODS {
        for hint in HINTS.map(Some).into_iter().chain([None]) {
            for value in ["0", "1000"] {
                let hint = hint.map(|name| (name, value));
                let response = send(&guard, growing(method, hint, SMALL)).await;
                assert_eq!(
                    told(&response),
                    (411, Some(Reason::LengthRequired)),
                    "{method} {hint:?}"
                );
                let known = growing(method, hint, SMALL).map(|body| body.telling_length(SMALL as u64));
                assert_eq!(told(&send(&guard, known).await), (200, None), "{method} {hint:?}");
                kept.ledger.credit("t", SMALL as u64);
            }
        }
    }
    let bounded = growing("PUT", None, SMALL).map(|body| AtLeast(body, 1));
    assert_eq!(told(&send(&guard, bounded).await), (411, Some(Reason::LengthRequired)));
    for exempt in ["GET", "DELETE", "PROPFIND", "UNLOCK"] {
        let response = send(&guard, growing(exempt, Some(("upload-length", "0")), SMALL)).await;
        assert_eq!(told(&response), (200, None), "{exempt}");
    }
}

#[tokio::test]
async fn required_length_holds_for_any_class() {
    for class in [Class::Stores, Class::Creates, Class::StoresBytes(1000)] {
        let guard = charging(&ledger(LIMIT)).classifier(move |_: &Parts| class);
        let response = send(
            &guard.require_length(true).build().unwrap(),
            growing("PUT", None, SMALL),
        )
        .await;
        assert_eq!(told(&response), (411, Some(Reason::LengthRequired)), "{class:?}");
    }
}
