//! A process that is aborted in the middle of its work, again and again: the file never counts less than was stored, and
//! too much by no more than was leased.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tower_storage_guard::{LeaseStore, SyncReply};

use crate::support::{open, report};

const DIRECTORY: &str = "STORAGE_GUARD_TEST_DIRECTORY";
const ROUND: &str = "STORAGE_GUARD_TEST_ROUND";

const TENANTS: usize = 20;
const ROUNDS: u64 = 15;
/// The most that a node of these tests leases of a tenant.
const CHUNK: u64 = 1000;

fn ledger(directory: &Path) -> PathBuf {
    directory.join("ledger")
}

/// Each line is a tenant and bytes that were stored for it.
fn truth(directory: &Path) -> PathBuf {
    directory.join("truth")
}

fn name(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

#[test]
fn the_ceiling_is_never_below_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let mut batches = 0;
    for round in 1..=ROUNDS {
        let child = Command::new(env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "aborted::node",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(DIRECTORY, directory.path())
            .env(ROUND, round.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(was_aborted(&child.status), "{}", String::from_utf8_lossy(&child.stderr));

        let mut stored = BTreeMap::<String, u64>::new();
        for line in fs::read_to_string(truth(directory.path())).unwrap_or_default().lines() {
            let (tenant, bytes) = line.split_once(' ').unwrap();
            *stored.entry(tenant.to_owned()).or_default() += bytes.parse::<u64>().unwrap();
        }
        let mut store = open(&ledger(directory.path()));
        let mut sequences = Vec::new();
        for tenant in (0..TENANTS).map(name) {
            let record = store.record(&tenant).unwrap().expect("a first batch was applied");
            let node = &record.nodes["node"];
            sequences.push((node.incarnation, node.sequence));
            let ceiling = record.used() + node.hold;
            let stored = stored.get(&tenant).copied().unwrap_or(0);
            assert!(
                ceiling >= stored,
                "round {round}: {stored} bytes are stored and {ceiling} on record"
            );
            let leased = round * CHUNK;
            assert!(
                ceiling - stored <= leased,
                "round {round}: {stored} are stored and {ceiling} on record"
            );
        }
        sequences.dedup();
        assert_eq!(sequences.len(), 1, "a batch is applied as a whole: {sequences:?}");
        batches += sequences[0].1;
    }
    assert!(
        batches > 3 * ROUNDS,
        "it was aborted before it did anything: {batches} batches in all"
    );
}

#[cfg(unix)]
fn was_aborted(status: &process::ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(status) == Some(6)
}

#[cfg(not(unix))]
fn was_aborted(status: &process::ExitStatus) -> bool {
    status.code() != Some(101)
}

/// A node that stores what it has leased and reports it, until it aborts itself.
#[test]
#[ignore = "a child process of the test above"]
fn node() {
    let (Some(directory), Ok(round)) = (env::var_os(DIRECTORY), env::var(ROUND)) else {
        return;
    };
    let directory = Path::new(&directory);
    let round: u64 = round.parse().unwrap();
    let mut random = Random(round);
    let aborter = Aborter::start(&mut random);
    let mut store = open(&ledger(directory));
    let mut truth = OpenOptions::new()
        .create(true)
        .append(true)
        .open(truth(directory))
        .unwrap();

    let mut shares: Vec<Option<i64>> = vec![None; TENANTS];
    for sequence in 1.. {
        let requests: Vec<_> = shares
            .iter()
            .enumerate()
            .map(|(tenant, share)| {
                let mut request = report(&name(tenant), sequence, 0);
                request.incarnation = round;
                request.share = *share;
                request.chunk = CHUNK;
                request
            })
            .collect();
        aborter.a_batch_begins();
        let replies = store.sync(&requests).unwrap();
        let mut lines = String::new();
        for ((tenant, share), reply) in shares.iter_mut().enumerate().zip(replies) {
            let SyncReply::Synced(synced) = reply else {
                panic!("{reply:?}")
            };
            assert!(synced.hold > 0, "there is room");
            let bytes = random.below(synced.hold + 1);
            *share = Some(synced.share + bytes as i64);
            lines += &format!("{} {bytes}\n", name(tenant));
        }
        // The upload: from here on it counts.
        truth.write_all(lines.as_bytes()).unwrap();
        truth.sync_data().unwrap();
    }
}

/// Ends the process some batches after its start, at any point of one.
struct Aborter(mpsc::Sender<()>);

impl Aborter {
    fn start(random: &mut Random) -> Self {
        let batches = 1 + random.below(12) as usize;
        let wait = Duration::from_micros(random.below(4000));
        let (sender, batch) = mpsc::channel();
        thread::spawn(move || {
            // The first one makes the records.
            if batch.iter().nth(batches).is_some() {
                let start = Instant::now();
                while start.elapsed() < wait {}
                process::abort();
            }
        });
        Self(sender)
    }

    fn a_batch_begins(&self) {
        self.0.send(()).unwrap();
    }
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
