//! Settings from a file.

use std::time::Duration;

use tower_storage_guard::{
    Config, FailurePolicy, Fallback, Floor, Reading, Settings, StorageGuardLayer, WriteBuffer, test_util::FakeResource,
};

fn layer() -> StorageGuardLayer {
    let disk = FakeResource::with(Reading::new(1 << 40, 1 << 39), |builder| builder.name("disk"));
    let memory = FakeResource::with(Reading::new(1 << 34, 1 << 33), |builder| builder.name("memory"));
    StorageGuardLayer::builder()
        .resource(disk.resource())
        .resource(memory.resource())
        .build()
        .expect("valid")
}

fn applied(text: &str) -> Settings {
    let config: Config = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let base = layer().live_settings().current();
    config.applied_to(base).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn everything_can_be_said() {
    let settings = applied(
        r#"
        report_only = true
        max_body = "5GiB"
        minimum_charge = 4096
        require_length = true
        write_buffer = "whole"

        [resources.disk]
        floor = { percent = 2, at_least = "1GiB", at_most = "20GiB" }
        essential_share = "64MiB"
        inode_floor = 1000
        near = "7.5%"
        exit_margin = { percent = "1%", at_most = "1GB" }
        on_probe_failure = { hold = "2min", then = "open" }
        interval = "500ms"
        min_interval = "100ms"
        max_age = "1h"

        [resources.memory]
        floor = 1048576
        on_probe_failure = "closed"
        "#,
    );
    let mut expected = layer().live_settings().current();
    expected.layer = expected
        .layer
        .report_only(true)
        .max_body(Some(5 << 30))
        .minimum_charge(4096)
        .require_length(true)
        .write_buffer(WriteBuffer::Whole);
    let disk = expected.resource_mut("disk").expect("there");
    *disk = disk
        .floor(Floor::percent(2.0).at_least(1 << 30).at_most(20 << 30))
        .essential_share(Floor::bytes(64 << 20))
        .inode_floor(1000)
        .near(Floor::percent(7.5))
        .exit_margin(Floor::percent(1.0).at_most(1_000_000_000))
        .on_probe_failure(FailurePolicy::Hold {
            at_most: Duration::from_secs(120),
            then: Fallback::Open,
        })
        .interval(Duration::from_millis(500))
        .min_interval(Duration::from_millis(100))
        .max_age(Duration::from_secs(3600));
    let memory = expected.resource_mut("memory").expect("there");
    *memory = memory
        .floor(Floor::bytes(1 << 20))
        .on_probe_failure(FailurePolicy::Closed);
    assert_eq!(settings, expected);
    layer().live_settings().apply(&settings).expect("valid");
}

#[test]
fn what_is_not_said_stays() {
    assert_eq!(applied(""), layer().live_settings().current());
    let unlimited = applied("max_body = \"unlimited\"\nwrite_buffer = \"1MiB\"");
    let mut expected = layer().live_settings().current();
    expected.layer = expected.layer.write_buffer(WriteBuffer::Bytes(1 << 20));
    assert_eq!(unlimited, expected);
}

#[test]
fn errors_name_the_key_and_the_place() {
    for (text, parts) in [
        (
            "max_bdy = 1",
            &["unknown field `max_bdy`", "line 1, column 1", "max_body"][..],
        ),
        (
            "\n[resources.disk]\nflor = 1",
            &["unknown field `flor`", "line 3, column 1", "floor"],
        ),
        (
            "[resources.disk]\nfloor = { percnt = 1 }",
            &["unknown field `percnt`", "line 2", "at_least"],
        ),
        (
            "[resources.disk]\non_probe_failure = { hold = \"1s\", than = \"open\" }",
            &["unknown field `than`", "line 2"],
        ),
        (
            "[resource.disk]\nfloor = 1",
            &["unknown field `resource`", "line 1", "resources"],
        ),
        (
            "max_body = \"much\"",
            &["`much` is not a size", "line 1", "unlimited", "max_body"],
        ),
        ("max_body = -1", &["-1 is not a size", "line 1"]),
        ("max_body = true", &["boolean `true`", "64MiB", "line 1"]),
        ("minimum_charge = \"\"", &["is not a size", "line 1"]),
        ("report_only = \"yes\"", &["line 1", "report_only", "boolean"]),
        (
            "[resources.disk]\nfloor = \"120%\"",
            &["120 is not a percentage", "0 to 100", "line 2", "floor"],
        ),
        (
            "[resources.disk]\nfloor = \"x%\"",
            &["`x` is not a percentage", "line 2"],
        ),
        (
            "[resources.disk]\nfloor = { percent = 101 }",
            &["101 is not a percentage", "line 2", "percent"],
        ),
        ("[resources.disk]\nfloor = {}", &["needs percent or at_least", "line 2"]),
        (
            "[resources.disk]\non_probe_failure = \"shut\"",
            &["`shut` is not a policy", "open, closed", "line 2"],
        ),
        (
            "[resources.disk]\non_probe_failure = { hold = \"1s\" }",
            &["missing field `then`", "line 2"],
        ),
        (
            "[resources.disk]\ninterval = \"soon\"",
            &["`soon` is not a time", "250ms", "line 2", "interval"],
        ),
        ("[resources.disk]\nmax_age = 5", &["250ms", "line 2"]),
    ] {
        let error = toml::from_str::<Config>(text).expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }
}

#[test]
fn a_resource_that_there_is_not_is_named() {
    let config: Config = toml::from_str("[resources.dsk]\nfloor = 1").expect("well written");
    let base = layer().live_settings().current();
    let error = config.applied_to(base).expect_err("no such resource");
    assert_eq!(error.key(), "resources.dsk");
    assert_eq!(
        error.to_string(),
        "resources.dsk: there is no such resource; name one of: disk, memory"
    );
}

/// The example in the guide is a good one.
#[test]
fn the_documented_example_is_valid() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guard.toml")).expect("there");
    let mut settings = applied(&text);
    layer().live_settings().apply(&settings).expect("valid");
    assert_ne!(settings, layer().live_settings().current());
    assert!(settings.resource_mut("disk").is_some());
}
