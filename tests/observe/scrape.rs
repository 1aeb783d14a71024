//! Prometheus' text, checked by Prometheus' own tools.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use axum::Router;

use tower_storage_guard::{Monitor, Reading, StatusService, test_util::FakeResource};

use crate::support::{GIB, Server, Site};

/// What a Prometheus server of version 2 sends.
const SCRAPER: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
    text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// And one of version 3.
const SCRAPER_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// A scrape over a socket, without its head.
pub(crate) fn scrape(accept: &str) -> String {
    let site = Site::new();
    drop(site.upload(GIB));
    drop(site.upload(21 * GIB));
    let server = Server::start(Router::new().route_service("/capacity", site.status()));
    let answer = server.get("/capacity", accept);
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    text.to_owned()
}

/// What a program makes of a text; `None`, and a line that says so, where it is not installed.
fn checked(program: &str, args: &[&str], text: &str) -> Option<String> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: {program} is not installed");
        return None;
    };
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program}: {said}\n{text}");
    Some(said)
}

#[test]
fn prometheus_finds_nothing_to_complain_about() {
    for accept in [SCRAPER, SCRAPER_3, "text/plain"] {
        let Some(said) = checked("promtool", &["check", "metrics"], &scrape(accept)) else {
            return;
        };
        assert_eq!(said, "");
    }
}

#[test]
fn the_checker_does_check() {
    let text = scrape(SCRAPER).replace("storage_guard_admitted_total", "storage_guard_admitted");
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: promtool is not installed");
        return;
    };
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("it reads");
    assert!(!child.wait().expect("it ends").success());
}

#[test]
fn the_figures_are_there() {
    let text = scrape(SCRAPER);
    for line in [
        "storage_guard_readiness 0",
        "storage_guard_state{resource=\"disk\"} 0",
        "storage_guard_total_bytes{resource=\"disk\"} 107374182400",
        "storage_guard_available_bytes{resource=\"memory\"} 9663676416",
        "storage_guard_floor_bytes{resource=\"disk\"} 5368709120",
        "storage_guard_inodes_available{resource=\"disk\"} 5201118",
        "storage_guard_report_only{layer=\"uploads\"} 0",
        "storage_guard_admitted_total{layer=\"uploads\"} 1",
        "storage_guard_refused_total{layer=\"uploads\",reason=\"too_large\",enforced=\"true\"} 1",
        "storage_guard_refused_total{layer=\"uploads\",reason=\"space\",enforced=\"false\"} 0",
        "storage_guard_mid_stream_refused_total{layer=\"uploads\",enforced=\"true\"} 0",
        "storage_guard_tenants 1284",
        "storage_guard_engine_latency_seconds 0.00042",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(
        !text.contains("inodes_available{resource=\"memory\"}"),
        "unknown is left out"
    );
}

#[test]
fn odd_names_do_no_harm() {
    let odd = "a \"disk\" \\ in\ntwo lines <b>";
    let disk = FakeResource::with(Reading::new(10, 5), |builder| builder.name(odd));
    let monitor = Monitor::builder()
        .resource(disk.resource())
        .manual()
        .build()
        .expect("valid");
    let server = Server::start(Router::new().route_service("/", StatusService::new(monitor)));
    let answer = server.get("/", SCRAPER);
    let (_, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(
        text.contains(r#"storage_guard_state{resource="a \"disk\" \\ in\ntwo lines <b>"} 0"#),
        "{text}"
    );
    if let Some(said) = checked("promtool", &["check", "metrics"], text) {
        assert_eq!(said, "");
    }
    assert!(!server.get("/", "text/html").contains("<b>"));
}

/// Names that alerts, dashboards and the guide use are those that are scraped, and each is explained.
#[test]
fn documents_speak_of_the_same_metrics() {
    let text = scrape(SCRAPER);
    let scraped: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in [
        "docs/operations.md",
        "docs/prometheus/rules.yml",
        "docs/prometheus/dashboard.json",
    ] {
        let document = std::fs::read_to_string(root.join(path)).expect(path);
        let named = metrics_in(&document);
        let unknown: Vec<_> = named.iter().filter(|name| !scraped.contains(name.as_str())).collect();
        assert_eq!(unknown, [""; 0], "{path}");
        assert!(!named.is_empty(), "{path}");
        if path.ends_with(".md") {
            let missing: Vec<_> = scraped.iter().filter(|name| !named.contains(**name)).collect();
            assert_eq!(missing, [&""; 0], "{path} explains every metric");
        }
    }
}

fn metrics_in(document: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    document
        .split(|letter| !is_part(letter))
        .filter(|word| word.starts_with("storage_guard_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_alerts_are_rules_that_prometheus_takes_and_that_fire_when_they_should() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus/rules.yml");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus/rules_test.yml");
    for args in [&["check", "rules", rules][..], &["test", "rules", tests]] {
        if let Some(said) = checked("promtool", args, "") {
            assert!(said.contains("SUCCESS"), "{said}");
        }
    }
}
