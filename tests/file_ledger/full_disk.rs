//! The ledger's file on a disk that has no room.

use std::{error::Error, fs, io};

use tower_storage_guard::{FileStore, LeaseStore, Record, StoreError, StoreErrorKind, SyncRequest};

use crate::{
    support::{open, report},
    volume::{Skip, Volume},
};

const SIZE: u64 = 40 << 20;
const TENANTS: usize = 5000;

fn batch(sequence: u64, tenants: usize) -> Vec<SyncRequest> {
    (0..tenants)
        .map(|tenant| report(&format!("tenant-{tenant}"), sequence, tenant as i64))
        .collect()
}

fn records(store: &mut FileStore) -> Vec<Option<Record>> {
    (0..TENANTS)
        .map(|tenant| store.record(&format!("tenant-{tenant}")).unwrap())
        .collect()
}

fn assert_no_room(error: &StoreError) {
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("no room on its disk"), "{error}");
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .expect("what the system says");
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

fn nothing_is_applied_in_part(volume: Result<Volume, Skip>) {
    let volume = match volume {
        Ok(volume) => volume,
        Err(skip) => return println!("{skip}"),
    };
    let path = volume.path().join("ledger");
    let mut store = open(&path);
    store.sync(&batch(1, 10)).unwrap();
    let before = records(&mut store);
    let filler = volume.fill();

    assert_no_room(&store.sync(&batch(2, TENANTS)).expect_err("no room"));
    assert!(
        records(&mut store) == before,
        "nothing was applied, and what there is can be read"
    );
    assert_no_room(&store.sync(&batch(2, TENANTS)).expect_err("still none"));
    let second = FileStore::open(volume.path().join("second")).expect_err("no room for one");
    assert_no_room(&second);

    // The same process goes on.
    fs::remove_file(filler).unwrap();
    store.sync(&batch(2, TENANTS)).unwrap();
    let after = records(&mut store);
    assert!(after.iter().flatten().all(|record| record.nodes["node"].sequence == 2));
    assert_eq!(after.iter().flatten().count(), TENANTS);
    drop(store);
    assert!(records(&mut open(&path)) == after);
    open(&volume.path().join("second"));
}

#[test]
fn a_tmpfs() {
    nothing_is_applied_in_part(Volume::tmpfs(SIZE, 100));
}

#[test]
fn ext4() {
    nothing_is_applied_in_part(Volume::ext4(SIZE));
}

/// A leased byte is on disk, so what a process may spend survives the disk that fills up and the end of the process.
#[test]
fn what_was_granted_before_stays_on_record() {
    let volume = match Volume::tmpfs(SIZE, 100) {
        Ok(volume) => volume,
        Err(skip) => return println!("{skip}"),
    };
    let path = volume.path().join("ledger");
    let mut store = open(&path);
    store.sync(&batch(1, 10)).unwrap();
    let before = records(&mut store);
    volume.fill();
    store.sync(&batch(2, TENANTS)).expect_err("no room");
    drop(store);
    assert!(records(&mut open(&path)) == before);
}
