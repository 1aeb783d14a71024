//! Events in the log.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tower_storage_guard::{Floor, Reading, StorageGuardLayer, TracingObserver, test_util::FakeResource};
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::support::refuse;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("sound").clone()).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// Writes down all that this thread tells, down to the finest level.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(self.clone())
            .set_default()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("sound").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn site() -> (FakeResource, StorageGuardLayer) {
    let log = TracingObserver::new();
    let disk = FakeResource::with(Reading::new(1000, 500), |builder| {
        builder
            .name("disk")
            .floor(Floor::bytes(100))
            .near(Floor::bytes(100))
            .exit_margin(Floor::bytes(10))
            .observer(log.clone())
    });
    let layer = StorageGuardLayer::builder()
        .resource(disk.resource())
        .max_body(800)
        .observer(log)
        .build()
        .expect("valid");
    (disk, layer)
}

#[test]
fn a_line_at_each_change_and_none_between() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let (disk, _layer) = site();
    for available in [500, 200, 190, 100, 90, 80, 300, 300, 300] {
        disk.probe().set_available(available);
        disk.sample();
    }
    disk.probe().fail("a cable");
    disk.sample();
    disk.sample();
    disk.probe().set_available(300);
    disk.sample();
    let expected = [
        ("WARN", "from=\"ok\" to=\"near\" available=200 floor=100"),
        ("WARN", "from=\"near\" to=\"full\" available=100 floor=100"),
        ("INFO", "from=\"full\" to=\"ok\" available=300 floor=100"),
        ("ERROR", "a cable"),
        ("INFO", "measurements come again"),
    ];
    let lines = lines.all();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (level, words)) in lines.iter().zip(expected) {
        assert!(line.trim_start().starts_with(level), "{level}: {line}");
        assert!(
            line.contains(words) && line.contains("resource=\"disk\""),
            "{words}: {line}"
        );
    }
}

/// As many refusals as come in: at most five lines in ten seconds, and one that counts the rest. Nothing gets lost.
#[test]
fn a_flood_of_refusals_is_a_trickle_of_lines() {
    const REFUSALS: u64 = 100_000;
    let lines = Lines::default();
    let _listening = lines.listen();
    let (_disk, layer) = site();
    let start = Instant::now();
    for n in 0..REFUSALS {
        let status = refuse(&layer, if n % 4 == 0 { 801 } else { 700 });
        assert!(status == 413 || status == 507, "{status}");
    }
    let time = start.elapsed();
    // The last line tells of what was left out until then.
    drop(layer);
    drop(_disk);
    let lines = lines.all();
    let windows = time.as_secs() / 10 + 2;
    println!("{REFUSALS} refusals in {time:?}: {} lines", lines.len());
    assert!(lines.len() as u64 <= windows * 6, "{} lines in {time:?}", lines.len());
    let (summaries, single): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("left out"));
    assert!(single.len() >= 5 && !summaries.is_empty(), "{lines:#?}");
    // Those of the ticking thread are written where nobody listens; in a test that is as short as this there are none.
    if time < Duration::from_secs(9) {
        let left_out: u64 = summaries.iter().map(|line| number(line, "refusals=")).sum();
        assert_eq!(single.len() as u64 + left_out, REFUSALS);
    }
}

#[test]
fn report_only_says_so() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let (_disk, layer) = site();
    layer
        .live_settings()
        .update(|settings| settings.layer = settings.layer.report_only(true))
        .expect("valid");
    assert_eq!(refuse(&layer, 801), 200);
    let lines = lines.all();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("would have been refused") && lines[0].contains("reason=\"too_large\""),
        "{lines:?}"
    );
}

#[test]
fn admitted_requests_write_nothing() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let (_disk, layer) = site();
    assert_eq!(refuse(&layer, 100), 200);
    assert_eq!(lines.all(), [""; 0]);
}

fn number(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{name}: {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{name}: {line}"))
}

/// A look by hand comes from this thread, whose lines are written down.
#[cfg(feature = "limits-file")]
#[test]
fn a_changed_file_of_limits_has_a_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("limits.toml");
    std::fs::write(&path, "default = 1").expect("written");
    let lines = Lines::default();
    let _listening = lines.listen();
    let ledger = tower_storage_guard::Ledger::builder()
        .limits_file(&path)
        .observer(TracingObserver::new());
    let ledger = ledger.build().expect("a good file");
    std::fs::write(&path, "[tenants]\nacme = 5").expect("written");
    ledger.reload_limits().expect("a good file");
    std::fs::write(&path, "acme = 5").expect("written");
    ledger.reload_limits().expect_err("a mistake");
    let lines = lines.all();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].contains("INFO") && lines[0].contains("tenants=1"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains("ERROR") && lines[1].contains("line 1, key `acme`"),
        "{}",
        lines[1]
    );
}
