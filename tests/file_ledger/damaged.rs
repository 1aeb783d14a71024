//! A damaged record concerns its tenant, a damaged file all of them. Neither is ever taken for an empty one.

use std::{fs, path::Path, sync::OnceLock};

use proptest::prelude::*;
use redb::{Database, ReadableTable, TableDefinition};
use tower_storage_guard::{FileStore, LeaseStore, Limit, Record, StoreErrorKind, SyncReply};

use crate::support::{open, report, sync, synced};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const LIMITS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("limits");

/// Changes what is written for a tenant, behind the ledger's back.
fn change(path: &Path, table: TableDefinition<'_, &[u8], &[u8]>, tenant: &str, how: impl FnOnce(&mut Vec<u8>)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(table).unwrap();
        let mut bytes = table
            .get(tenant.as_bytes())
            .unwrap()
            .map_or(Vec::new(), |bytes| bytes.value().to_vec());
        how(&mut bytes);
        table.insert(tenant.as_bytes(), bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn damage(reply: &SyncReply) -> &str {
    match reply {
        SyncReply::Failed {
            kind: StoreErrorKind::Corrupt,
            reason,
        } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_record_concerns_no_other_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path)
        .sync(&[report("a", 1, 10), report("b", 1, 10), report("c", 1, 10)])
        .unwrap();
    change(&path, RECORDS, "b", |bytes| bytes[20] ^= 1);

    let mut store = open(&path);
    let replies = store
        .sync(&[report("c", 2, 30), report("b", 2, 20), report("a", 2, 10)])
        .unwrap();
    let why = damage(&replies[1]);
    assert!(why.contains("tenant `b`") && why.contains("check sum"), "{why}");
    assert!(
        why.contains(&format!("`{}`", path.display())) && why.contains("FileStore::forget"),
        "{why}"
    );
    for (reply, used) in [(&replies[0], 30), (&replies[2], 10)] {
        assert!(
            matches!(reply, SyncReply::Synced(synced) if synced.used == used),
            "{reply:?}"
        );
    }
    drop(store);

    let mut store = open(&path);
    assert_eq!(
        store.record("c").unwrap().expect("recorded").used(),
        30,
        "it was written"
    );
    let error = store.record("b").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (StoreErrorKind::Corrupt, why)
    );

    store.forget("b").unwrap();
    assert_eq!(store.record("b").unwrap(), None);
    assert_eq!(synced(&mut store, report("b", 3, 20)).used, 20);
}

#[test]
fn a_record_of_another_version_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path);
    change(&path, RECORDS, "a", |bytes| bytes.push(2));
    let mut store = open(&path);
    let reply = sync(&mut store, report("a", 1, 0));
    assert!(damage(&reply).contains("version 2"), "{reply:?}");
    assert_eq!(store.record("a").unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[test]
fn a_record_under_another_tenant_s_name_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path).sync(&[report("a", 1, 10), report("b", 1, 20)]).unwrap();
    let mut of_a = Vec::new();
    change(&path, RECORDS, "a", |bytes| of_a.clone_from(bytes));
    change(&path, RECORDS, "b", |bytes| *bytes = of_a);
    damage(&sync(&mut open(&path), report("b", 2, 20)));
}

/// A limit that cannot be read is not no limit.
#[test]
fn a_damaged_limit_concerns_its_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path).set_limit("a", Some(Limit::bytes(5))).unwrap();
    change(&path, LIMITS, "a", |bytes| bytes[1] ^= 1);
    let mut store = open(&path);
    let replies = store.sync(&[report("a", 1, 0), report("b", 1, 0)]).unwrap();
    damage(&replies[0]);
    assert!(matches!(replies[1], SyncReply::Synced(_)));
    store.set_limit("a", Some(Limit::bytes(7))).unwrap();
    assert_eq!(synced(&mut store, report("a", 1, 0)).limit, Limit::bytes(7));
}

const TENANTS: usize = 200;

fn name(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

struct Ledger {
    bytes: Vec<u8>,
    records: Vec<Option<Record>>,
}

/// A file with some tenants, as its process leaves it in good order or when it is killed, and what is on record there.
fn ledger(killed: bool) -> &'static Ledger {
    static LEDGERS: [OnceLock<Ledger>; 2] = [const { OnceLock::new() }; 2];
    LEDGERS[usize::from(killed)].get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger");
        let mut store = open(&path);
        for sequence in 1..4 {
            let reports: Vec<_> = (0..TENANTS)
                .map(|tenant| report(&name(tenant), sequence, tenant as i64))
                .collect();
            store.sync(&reports).expect("applied");
        }
        let records = (0..TENANTS)
            .map(|tenant| store.record(&name(tenant)).expect("read"))
            .collect();
        if !killed {
            drop(store);
        }
        let bytes = fs::read(path).expect("read");
        Ledger { bytes, records }
    })
}

/// A tenant that is not found would be taken for a new one.
#[test]
fn a_tenant_that_vanished() {
    for killed in [false, true] {
        let Ledger { bytes, .. } = ledger(killed);
        let (from, to) = (b"tenant-57", b"tenant-5x");
        let mut bytes = bytes.clone();
        while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        fs::write(&path, bytes).unwrap();
        let error = FileStore::open(&path).expect_err("damaged");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("move it away"), "the remedy: {error}");
    }
}

/// No check sum covers them, and redb would take memory for as many pages as they say.
#[test]
fn sizes_at_the_beginning_that_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    for (at, mask) in (12..32).flat_map(|at| [(at, 0x10), (at, 0x80)]) {
        let mut bytes = ledger(true).bytes.clone();
        bytes[at] ^= mask;
        fs::write(&path, bytes).unwrap();
        match FileStore::open(&path) {
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{at}: {error}"),
            // The number of pages in the last region, when it says fewer: after a kill redb counts anew.
            Ok(_) => assert!((28..32).contains(&at), "{at}"),
        }
    }
}

/// Either all is as it was, or it is known that it is not.
fn is_as_before_or_damaged(bytes: &[u8], records: &[Option<Record>]) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger");
    fs::write(&path, bytes).expect("written");
    let mut store = match FileStore::open(&path) {
        Ok(store) => store,
        Err(error) => {
            prop_assert!(
                error.to_string().contains(&format!("`{}`", path.display())),
                "names the path: {}",
                error
            );
            prop_assert_ne!(error.kind(), StoreErrorKind::Unavailable, "{:?}", error);
            return Ok(());
        }
    };
    for (tenant, record) in records.iter().enumerate() {
        let Ok(found) = store.record(&name(tenant)) else {
            continue;
        };
        prop_assert_eq!(&found, record, "{}", name(tenant));
    }
    Ok(())
}

const HEADER: usize = 320;
/// Says which of two states is the newest. No check sum covers it, and both states are whole; in a file that was closed
/// they have the same content.
const WHICH_STATE: usize = 9;

proptest! {
    // Each writes a file of 3 MB; many more cases were run once.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte(killed: bool, at: prop::sample::Index, in_header: bool, mask in 1..=u8::MAX) {
        let Ledger { bytes, records } = ledger(killed);
        let at = at.index(if in_header { HEADER } else { bytes.len() });
        prop_assume!(!(killed && at == WHICH_STATE));
        let mut bytes = bytes.clone();
        bytes[at] ^= mask;
        is_as_before_or_damaged(&bytes, records)?;
    }

    #[test]
    fn a_page_of_something_else(killed: bool, page: prop::sample::Index, filler: u8) {
        let Ledger { bytes, records } = ledger(killed);
        let page = page.index(bytes.len() / 4096) * 4096;
        let mut bytes = bytes.clone();
        bytes[page..page + 4096].fill(filler);
        is_as_before_or_damaged(&bytes, records)?;
    }

    /// An empty file is no damaged ledger: it is what `touch` makes.
    #[test]
    fn a_file_cut_short(killed: bool, length: prop::sample::Index) {
        let Ledger { bytes, records } = ledger(killed);
        is_as_before_or_damaged(&bytes[..1 + length.index(bytes.len() - 1)], records)?;
    }
}
