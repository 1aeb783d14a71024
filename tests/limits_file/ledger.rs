//! A ledger that takes its limits from a file.

use std::{
    fs,
    path::Path,
    sync::mpsc::{self, Receiver},
};

use tower_storage_guard::{BuildErrorKind, Event, Ledger, LedgerBuilder, Limit};

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
}

/// What a ledger tells.
fn told(ledger: LedgerBuilder) -> (LedgerBuilder, Receiver<String>) {
    let (tell, events) = mpsc::channel();
    let ledger = ledger.observer(move |event: &Event<'_>| {
        let text = match event {
            Event::LimitsReloaded { ledger, tenants, .. } => format!("{ledger}: {tenants}"),
            Event::LimitsRejected { ledger, error, .. } => format!("{ledger}: {error}"),
            other => format!("{other:?}"),
        };
        let _ = tell.send(text);
    });
    (ledger, events)
}

fn limit(ledger: &Ledger, tenant: &str) -> Option<u64> {
    ledger.usage(tenant).limit.as_bytes()
}

#[test]
fn the_file_is_stronger_than_what_is_configured_and_changes_live() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    write(&path, "default = 1000\n[tenants]\nacme = 50");
    let builder = Ledger::builder()
        .default_limit(Limit::bytes(7))
        .limit("acme", Limit::bytes(8))
        .limit("internal", Limit::UNLIMITED)
        .limits_file(&path);
    let (builder, events) = told(builder);
    let ledger = builder.build().unwrap();
    assert_eq!([limit(&ledger, "acme"), limit(&ledger, "any")], [Some(50), Some(1000)]);
    assert_eq!(limit(&ledger, "internal"), None);
    assert_eq!(events.try_iter().count(), 0, "that is how it begins, no event");
    let held = ledger.try_reserve("acme", 50).unwrap();
    assert!(ledger.try_reserve("acme", 1).is_err());

    write(&path, "[tenants]\nacme = 60\nother = 0");
    assert!(ledger.reload_limits().unwrap());
    assert_eq!(events.try_iter().collect::<Vec<_>>(), ["quota: 2"]);
    drop(ledger.try_reserve("acme", 10).unwrap());
    assert!(ledger.try_reserve("other", 1).is_err());
    assert_eq!(
        limit(&ledger, "any"),
        Some(7),
        "as configured, where the file says nothing"
    );

    write(&path, "default = 5");
    assert!(ledger.reload_limits().unwrap());
    assert_eq!([limit(&ledger, "acme"), limit(&ledger, "other")], [Some(8), Some(5)]);
    drop(held);
    assert!(!ledger.reload_limits().unwrap());
}

#[test]
fn a_limit_set_by_hand_is_stronger_than_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    write(&path, "[tenants]\nacme = 50");
    let ledger = Ledger::builder().limits_file(&path).build().unwrap();
    ledger.set_limit("acme", Limit::bytes(9)).unwrap();
    write(&path, "[tenants]\nacme = 60");
    ledger.reload_limits().unwrap();
    assert_eq!(limit(&ledger, "acme"), Some(9));
}

#[test]
fn a_mistake_is_an_error_at_first_and_an_event_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    let failed = || {
        Ledger::builder()
            .limits_file(&path)
            .build()
            .expect_err("not a good file")
    };
    let missing = failed();
    assert_eq!(
        (missing.kind(), missing.setting()),
        (BuildErrorKind::LimitsFile, "limits_file")
    );
    assert!(missing.to_string().contains(path.to_str().unwrap()), "{missing}");
    write(&path, "acme = 5");
    let source = std::error::Error::source(&failed()).expect("says where").to_string();
    assert!(source.contains("line 1, key `acme`"), "{source}");

    write(&path, "[tenants]\nacme = 5");
    let (builder, events) = told(Ledger::builder().limits_file(&path));
    let ledger = builder.build().unwrap();
    write(&path, "acme = 5");
    ledger.reload_limits().unwrap_err();
    ledger.reload_limits().unwrap_err();
    let events: Vec<_> = events.try_iter().collect();
    assert_eq!(events.len(), 1, "once: {events:?}");
    assert!(
        events[0].starts_with("quota: limits file `") && events[0].contains("line 1"),
        "{events:?}"
    );
    assert_eq!(limit(&ledger, "acme"), Some(5));
}

#[test]
fn without_a_file_nothing_changes() {
    assert!(!Ledger::builder().build().unwrap().reload_limits().unwrap());
}

/// The last handle takes the thread with it, and the observers.
#[test]
fn the_watching_ends_with_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limits.toml");
    write(&path, "[tenants]");
    let (builder, events) = told(Ledger::builder().limits_file(&path));
    let ledger = builder.build().unwrap();
    let second = ledger.clone();
    drop(ledger);
    write(&path, "default = 1");
    assert!(second.reload_limits().unwrap());
    drop(second);
    assert_eq!(events.iter().count(), 1, "this ends when nobody can tell any more");
}
