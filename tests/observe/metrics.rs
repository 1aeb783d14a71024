//! Figures through the facade, and as JSON.

use std::collections::BTreeMap;

use http::Request;
use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder},
};

use crate::{
    scrape,
    support::{GIB, Site, ask},
};

/// What a recorder has after a second.
fn recorded(site: &Site) -> BTreeMap<String, (MetricKind, f64, bool)> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || site.monitor.tick());
    snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, description, value)| {
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(amount) => amount.into_inner(),
                DebugValue::Histogram(_) => panic!("there are no histograms"),
            };
            let name = format!("{}{{{}}}", key.key().name(), labels.join(","));
            (name, (key.kind(), value, description.is_some()))
        })
        .collect()
}

#[test]
fn the_facade_gets_all_of_it() {
    let site = Site::new();
    let (_, _held) = site.upload(GIB);
    drop(site.upload(21 * GIB));
    let recorded = recorded(&site);
    for (name, kind, value) in [
        ("storage_guard_readiness{}", MetricKind::Gauge, 0.0),
        ("storage_guard_admitted_total{layer=uploads}", MetricKind::Counter, 1.0),
        (
            "storage_guard_refused_total{layer=uploads,reason=too_large,enforced=true}",
            MetricKind::Counter,
            1.0,
        ),
        ("storage_guard_report_only{layer=uploads}", MetricKind::Gauge, 0.0),
        ("storage_guard_tenants{}", MetricKind::Gauge, 1284.0),
    ] {
        assert_eq!(recorded.get(name), Some(&(kind, value, true)), "{name}: {recorded:#?}");
    }
    let held = recorded["storage_guard_held_bytes{resource=disk}"].1;
    assert!(held >= GIB as f64 && held < 1.1 * GIB as f64, "{held}");

    // The same names as in the text, and as many.
    let text = scrape::scrape("text/plain");
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(recorded.len(), samples);
}

#[test]
fn counters_go_on_and_the_mode_is_told() {
    let site = Site::new();
    drop(site.upload(21 * GIB));
    site.layer
        .live_settings()
        .update(|settings| settings.layer = settings.layer.report_only(true))
        .expect("valid");
    let (status, _) = site.upload(21 * GIB);
    assert_eq!(status, 100, "received all the same");
    let recorded = recorded(&site);
    let refused = |enforced: bool| {
        let name = format!("storage_guard_refused_total{{layer=uploads,reason=too_large,enforced={enforced}}}");
        recorded[&name].1
    };
    assert_eq!((refused(true), refused(false)), (1.0, 1.0));
    assert_eq!(recorded["storage_guard_report_only{layer=uploads}"].1, 1.0);
}

#[tokio::test]
async fn the_json_says_the_same() {
    let site = Site::new();
    drop(site.upload(21 * GIB));
    let request = Request::get("/").header("accept", "application/json").body(()).unwrap();
    let (head, text) = ask(site.status(), request).await;
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(head.headers["cache-control"], "no-store");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["readiness"], "ready");
    assert_eq!(json["resources"][0]["name"], "disk");
    assert_eq!(json["resources"][0]["available"], 40 * GIB);
    assert_eq!(json["resources"][1]["headroom"], 9 * GIB - (16 * GIB).div_ceil(10));
    assert_eq!(json["layers"][0]["mode"], "enforcing");
    assert_eq!(json["layers"][0]["refused"]["by_reason"]["too_large"], 1);
    assert_eq!(json["layers"][0]["would_be_refused"]["total"], 0);
    assert_eq!(json["tenants"]["tracked"], 1284);
}

#[tokio::test]
async fn the_format_goes_by_accept_and_can_be_said_in_the_address() {
    let site = Site::new();
    for (target, accept, expected) in [
        ("/", "*/*", "application/json"),
        (
            "/",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        (
            "/",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("/?format=json", "text/html", "application/json"),
        (
            "/?a=b&format=text",
            "text/html",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("/?format=html", "*/*", "text/html; charset=utf-8"),
        ("/?format=cuneiform", "*/*", "application/json"),
    ] {
        let request = Request::get(target).header("accept", accept).body(()).unwrap();
        let (head, text) = ask(site.status(), request).await;
        assert_eq!(head.headers["content-type"], expected, "{target} {accept}");
        assert_eq!(head.headers["content-length"], text.len().to_string());
    }
    let (head, text) = ask(site.status(), Request::head("/").body(()).unwrap()).await;
    assert_eq!((head.status.as_u16(), &*text), (200, ""));
    let (head, _) = ask(site.status(), Request::post("/").body(()).unwrap()).await;
    assert_eq!(head.status.as_u16(), 405);
    assert_eq!(head.headers["allow"], "GET, HEAD");
}
