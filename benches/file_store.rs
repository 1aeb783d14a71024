//! What the ledger's file costs at 100,000 and 1,000,000 tenants: its size, calls about some of them, and opening it.
//! `cargo bench --bench file_store --features redb`
//!
//! Measured before the store was written (2 shared cores): 110 ms a batch of 10,000 of 1,000,000.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tower_storage_guard::{FileStore, LeaseStore, Limit, Seed, SyncReply, SyncRequest, format_size};

/// So many tenants in one call when the file is made.
const FIRST: u64 = 10_000;
/// A large node that tells all at once, what a ledger has in one call, and one tenant.
const BATCHES: [usize; 3] = [10_000, 256, 1];
const ROUNDS: u64 = 15;

fn main() {
    println!("milliseconds: calls for so many tenants, and opening the file after it was closed or its process killed");
    println!(
        "{:>9}  {:>10}  {:>9}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}",
        "tenants", "file", "B/tenant", "10000", "256", "1", "closed", "killed"
    );
    for tenants in [100_000, 1_000_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger");
        let mut store = FileStore::open(&path).expect("opened");
        for first in (0..tenants).step_by(FIRST as usize) {
            apply(&mut store, &batch(first..first + FIRST, 1));
        }
        let mut sequence = 1;
        let calls = BATCHES.map(|size| {
            let mut times: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    sequence += 1;
                    apply(&mut store, &batch(spread(tenants, sequence, size), sequence))
                })
                .collect();
            times.sort_unstable();
            milliseconds(times[times.len() / 2])
        });
        // A copy of an open file is what a kill leaves.
        let killed = directory.path().join("killed");
        fs::copy(&path, &killed).expect("copied");
        drop(store);
        let size = fs::metadata(&path).expect("there").len();
        println!(
            "{tenants:>9}  {:>10}  {:>9}  {:>8.1}  {:>8.1}  {:>8.1}  {:>8.1}  {:>8.1}",
            format_size(size),
            size / tenants,
            calls[0],
            calls[1],
            calls[2],
            milliseconds(opening(&path)),
            milliseconds(opening(&killed)),
        );
    }
}

/// Tenants all over the file, no two batches the same.
fn spread(tenants: u64, sequence: u64, size: usize) -> impl Iterator<Item = u64> {
    let stride = (7_919 * sequence) | 1;
    (0..size as u64).map(move |index| (index * stride * 613 + sequence) % tenants)
}

fn batch(tenants: impl Iterator<Item = u64>, sequence: u64) -> Vec<SyncRequest> {
    tenants
        .map(|tenant| {
            let mut request = SyncRequest::new(format!("tenant-{tenant:08}"), "node-1");
            request.incarnation = 1;
            request.sequence = sequence;
            request.share = Some((sequence << 20) as i64);
            request.chunk = 64 << 20;
            request.limit = Limit::bytes(10 << 30);
            request.ttl = Duration::from_secs(60);
            request.seed = Some(Seed::new(1, 0, false));
            request
        })
        .collect()
}

fn apply(store: &mut FileStore, requests: &[SyncRequest]) -> Duration {
    let start = Instant::now();
    let replies = store.sync(requests).expect("applied");
    let took = start.elapsed();
    assert!(
        replies.iter().all(|reply| matches!(reply, SyncReply::Synced(_))),
        "all are real reports"
    );
    took
}

fn opening(path: &Path) -> Duration {
    let start = Instant::now();
    let store = FileStore::open(path).expect("opened");
    let took = start.elapsed();
    drop(store);
    took
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
