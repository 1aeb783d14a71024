//! The contract of all ledgers, with leases out of a file.

use tower_storage_guard::{FileStore, Leasing, Ledger, Limit};

use crate::ledger_contract::{DEFAULT, keeps_the_contract};

fn ledger(path: &std::path::Path) -> Ledger {
    Ledger::builder()
        .default_limit(Limit::bytes(DEFAULT))
        .leasing(Leasing::alone(FileStore::open(path).unwrap()).chunk(50))
        .build()
        .unwrap()
}

#[test]
fn in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    keeps_the_contract(25, || {
        count.set(count.get() + 1);
        ledger(&directory.path().join(count.get().to_string()))
    });
}

#[test]
fn usage_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let first = ledger(&path);
    first.reserve("a", 300).wait().unwrap().commit(300);
    first.set_limit("b", Limit::bytes(7)).unwrap();
    let under_way = first.reserve("a", 100).wait().unwrap();
    drop((under_way, first));

    let second = ledger(&path);
    assert_eq!(second.scan("a").wait().unwrap().used(), 300);
    assert!(second.reserve("b", 8).wait().unwrap_err().is_permanent());
    second.credit("a", 200);
    drop(second);
    assert_eq!(ledger(&path).scan("a").wait().unwrap().used(), 100);
}
