//! Nodes that are killed, stand still, or are started twice, as processes that write real files.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use tower_storage_guard::RedisStore;

use crate::{
    fleet::TENANT,
    node::patient,
    process::{LIMIT, Process, written},
    proxy::{Mode, Proxy},
    redis_server::RedisServer,
};

struct Site {
    server: RedisServer,
    directory: TempDir,
}

impl Site {
    fn start() -> Option<Self> {
        Some(Self {
            server: RedisServer::start()?,
            directory: tempfile::tempdir().expect("a temporary directory"),
        })
    }

    fn node(&self, name: &str) -> Process {
        Process::start(name, &self.server.url(), self.directory.path(), false)
    }

    fn reaping_node(&self, name: &str) -> Process {
        Process::start(name, &self.server.url(), self.directory.path(), true)
    }

    fn store(&self) -> RedisStore {
        patient(&self.server.url()).build().expect("a URL")
    }

    fn written(&self) -> u64 {
        written(self.directory.path())
    }

    fn assert_within(&self, limit: u64) {
        let written = self.written();
        assert!(written <= limit, "{written} of {limit} bytes are written");
    }

    /// Until a node that stands still has no lease any more by its own words.
    fn wait_until_expired(&self, node: &str) {
        let mut store = self.store();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let expires = store.record(TENANT).unwrap().unwrap().nodes[node].expires;
            if expires < SystemTime::now().duration_since(UNIX_EPOCH).unwrap() {
                return;
            }
            assert!(Instant::now() < deadline, "it tells that it is there");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whatever a node was about to do when it was killed, what it had leased is not given to others.
fn killed_after(orders: &[&str]) {
    let Some(site) = Site::start() else { return };
    let proxy = Proxy::to(site.server.address());
    let mut killed = Process::start("a", &proxy.url(), site.directory.path(), false);
    let mut other = site.node("b");
    assert_eq!(killed.tell("reserve 1"), "granted");
    assert_eq!(killed.tell("reserve 300000"), "granted");
    // So that it reports nothing more.
    proxy.requests(Mode::Lose);
    for order in orders {
        assert_eq!(killed.tell(order), "done");
    }
    killed.kill();
    let before = site.written();

    other.tell("grab");
    site.assert_within(LIMIT - 300_000 + before);
    let mut again = site.node("a");
    again.tell("grab");
    other.tell("grab");
    site.assert_within(LIMIT - 300_000 + before);

    // What was leased to the former start counts as stored until somebody measures.
    again.tell("measure");
    assert_eq!(again.tell("fill"), "done");
    other.tell("grab");
    again.tell("grab");
    site.assert_within(LIMIT);
}

#[test]
fn killed_before_it_wrote() {
    killed_after(&[]);
}

#[test]
fn killed_before_it_committed() {
    killed_after(&["write 300000"]);
}

#[test]
fn killed_before_it_reported() {
    killed_after(&["write 300000", "commit 300000"]);
}

#[test]
fn one_that_stands_still_keeps_its_lease() {
    let Some(site) = Site::start() else { return };
    let (mut still, mut other) = (site.node("a"), site.node("b"));
    assert_eq!(still.tell("reserve 600000"), "granted");
    still.freeze();
    site.wait_until_expired("a");
    assert_eq!(other.tell("reserve 500000"), "Quota");
    other.tell("grab");
    still.thaw();
    still.tell("write 600000");
    still.tell("commit 600000");
    assert_eq!(other.tell("fill"), "done");
    still.tell("grab");
    other.tell("grab");
    site.assert_within(LIMIT);
}

/// Where others may take it after its time, that costs at most what it had leased.
#[test]
fn one_that_stands_still_loses_its_lease_where_that_is_wanted() {
    let Some(site) = Site::start() else { return };
    let (mut still, mut other) = (site.reaping_node("a"), site.reaping_node("b"));
    assert_eq!(still.tell("reserve 600000"), "granted");
    still.freeze();
    site.wait_until_expired("a");
    assert_eq!(other.tell("fill"), "done");
    still.thaw();
    still.tell("write 600000");
    still.tell("commit 600000");
    site.assert_within(LIMIT + 600_000 + 10_000);
    // Once it has heard, it takes nothing more.
    let mut store = site.store();
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.record(TENANT).unwrap().unwrap().used() < site.written() {
        assert!(Instant::now() < deadline, "it does not report");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(still.tell("reserve 1"), "Quota");
    other.tell("grab");
    site.assert_within(LIMIT + 600_000 + 10_000);
    let before = site.written();
    other.tell("grab");
    still.tell("grab");
    assert_eq!(site.written(), before);
}

/// A second process under the name of one that stands still: the first one has to stop.
#[test]
fn one_whose_name_was_taken_leases_nothing_more() {
    let Some(site) = Site::start() else { return };
    let mut first = site.node("a");
    assert_eq!(first.tell("reserve 600000"), "granted");
    first.freeze();
    let mut second = site.node("a");
    assert_eq!(second.tell("reserve 500000"), "Quota");
    second.tell("grab");
    site.assert_within(LIMIT - 600_000);
    first.thaw();
    assert_eq!(first.tell("reserve 350000"), "Unknown");
    first.tell("write 600000");
    first.tell("commit 600000");
    first.tell("grab");
    second.tell("grab");
    site.assert_within(LIMIT);
}
