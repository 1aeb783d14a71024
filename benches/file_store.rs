//! What the ledger's file costs at 100,000 and 1,000,000 tenants: its size, a batch of 10,000 of them, and opening it.
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

const BATCH: usize = 10_000;
const BATCHES: u64 = 20;

fn main() {
    println!(
        "{:>9}  {:>10}  {:>9}  {:>14}  {:>9}  {:>9}  {:>16}  {:>17}",
        "tenants", "file", "B/tenant", "batch of 10000", "slowest", "of 1", "open after close", "open after a kill"
    );
    for tenants in [100_000, 1_000_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger");
        let mut store = FileStore::open(&path).expect("opened");
        for first in (0..tenants).step_by(BATCH) {
            apply(&mut store, &batch(first..first + BATCH as u64, 1));
        }
        let mut batches: Vec<_> = (2..2 + BATCHES)
            .map(|sequence| apply(&mut store, &batch(spread(tenants, sequence), sequence)))
            .collect();
        batches.sort_unstable();
        let mut single: Vec<_> = (0..BATCHES)
            .map(|tenant| apply(&mut store, &batch(tenant..tenant + 1, 99)))
            .collect();
        single.sort_unstable();
        // A copy of an open file is what a kill leaves.
        let killed = directory.path().join("killed");
        fs::copy(&path, &killed).expect("copied");
        drop(store);
        let size = fs::metadata(&path).expect("there").len();
        println!(
            "{tenants:>9}  {:>10}  {:>9}  {:>11.1} ms  {:>6.1} ms  {:>6.1} ms  {:>13.1} ms  {:>14.1} ms",
            format_size(size),
            size / tenants,
            milliseconds(batches[batches.len() / 2]),
            milliseconds(batches[batches.len() - 1]),
            milliseconds(single[single.len() / 2]),
            milliseconds(opening(&path)),
            milliseconds(opening(&killed)),
        );
    }
}

/// Tenants all over the file, no two batches the same.
fn spread(tenants: u64, sequence: u64) -> impl Iterator<Item = u64> {
    let stride = (7_919 * sequence) | 1;
    (0..BATCH as u64).map(move |index| (index * stride * 613 + sequence) % tenants)
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
        replies
            .iter()
            .all(|reply| matches!(reply, SyncReply::Synced(_) | SyncReply::Stale)),
        "they must be real requests"
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
