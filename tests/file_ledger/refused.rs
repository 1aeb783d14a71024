//! What is no ledger file is left as it is, and the error says what to do.

use std::{fs, path::Path};

use redb::{Database, MultimapTableDefinition, TableDefinition};
use tower_storage_guard::{FileStore, StoreError, StoreErrorKind};

use crate::support::{open, report, synced};

fn refusal(path: &Path) -> StoreError {
    let error = FileStore::open(path).expect_err("refused");
    let message = error.to_string();
    assert!(
        message.contains(&format!("`{}`", path.display())),
        "names the path: {message}"
    );
    error
}

#[test]
fn a_second_opener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let first = open(&path);
    let error = refusal(&path);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    open(&path);
}

#[test]
fn a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(directory.path());
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("must be a file"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_missing_directory() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&directory.path().join("missing/ledger"));
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("directory that exists"), "{error}");
    for path in ["", "/", ".."] {
        assert_eq!(refusal(Path::new(path)).kind(), StoreErrorKind::Rejected, "{path}");
    }
}

#[test]
fn something_else_than_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    for content in [
        &b"x"[..],
        &[0; 5000],
        "a text that is longer than the first bytes of a database".as_bytes(),
    ] {
        fs::write(&path, content).unwrap();
        let error = refusal(&path);
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        assert!(error.to_string().contains("choose another path"), "the remedy: {error}");
        assert_eq!(fs::read(&path).unwrap(), content, "left as it was");
    }
}

#[test]
fn a_database_of_another_program() {
    let directory = tempfile::tempdir().unwrap();
    for multimap in [false, true] {
        let path = directory.path().join(format!("other-{multimap}"));
        let other = Database::create(&path).unwrap();
        let transaction = other.begin_write().unwrap();
        if multimap {
            transaction
                .open_multimap_table(MultimapTableDefinition::<u64, u64>::new("songs"))
                .unwrap();
        } else {
            transaction
                .open_table(TableDefinition::<u64, u64>::new("records"))
                .unwrap();
        }
        transaction.commit().unwrap();
        drop(other);
        let error = refusal(&path);
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().contains("no ledger file"), "{error}");
    }
}

#[test]
fn a_file_of_a_newer_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    open(&path);
    let about = TableDefinition::<&str, u32>::new("tower-storage-guard ledger");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(about).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refusal(&path);
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("format 2"), "{error}");
}

/// As `touch` makes it, and as a process that ended while it made the file leaves it.
#[test]
fn an_empty_file_becomes_a_ledger_and_an_unfinished_one_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    fs::write(&path, "").unwrap();
    synced(&mut open(&path), report("a", 1, 10));

    let path = directory.path().join("second");
    fs::write(directory.path().join("second.new"), [0; 5000]).unwrap();
    synced(&mut open(&path), report("a", 1, 10));
    assert!(!directory.path().join("second.new").exists());
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_does_not_exist_yet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("link");
    std::os::unix::fs::symlink("target", &path).unwrap();
    synced(&mut open(&path), report("a", 1, 10));
    assert!(directory.path().join("target").exists());
}
