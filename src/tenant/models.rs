//! Models of the table of tenants, for `loom`.

use std::sync::Arc;

use loom::thread;

pub(crate) use super::lease::models::*;
use super::{entry::EntryRef, table::Table};
use crate::sync::model;

/// A reference that is counted and one that came with a charge are dropped at the same time: one of them removes the tenant.
pub(crate) fn the_last_reference_removes_an_unused_tenant() {
    model(|| {
        let table = Arc::new(Table::new(1, false));
        let charging = {
            let table = table.clone();
            thread::spawn(move || charge(&table).balance.release(1))
        };
        drop(table.acquire("acme", || 2).expect("there is room"));
        charging.join().expect("ended");
        assert_eq!((table.tracked(), table.entries().len()), (0, 0));
    });
}

/// Bytes are charged to a tenant while the last reference of others is dropped: they stay.
pub(crate) fn a_charged_tenant_is_not_removed() {
    model(|| {
        let table = Arc::new(Table::new(1, false));
        let ending = {
            let entry = table.acquire("acme", || 2).expect("there is room");
            thread::spawn(move || drop(entry))
        };
        drop(charge(&table));
        ending.join().expect("ended");
        let entry = table.find("acme").expect("it is charged");
        assert_eq!((table.tracked(), entry.balance.charged()), (1, 1));
    });
}

/// A request charges a tenant that it holds, while the last charge of another is given back: the bytes stay.
pub(crate) fn a_referenced_tenant_is_not_removed() {
    model(|| {
        let table = Arc::new(Table::new(1, false));
        let charging = {
            let table = table.clone();
            thread::spawn(move || charge(&table).balance.release(1))
        };
        let entry = table.acquire("acme", || 2).expect("there is room");
        entry.balance.charge(1);
        drop(entry);
        charging.join().expect("ended");
        let entry = table.find("acme").expect("it is charged");
        assert_eq!((table.tracked(), entry.balance.charged()), (1, 1));
    });
}

/// A request gives all that it had charged back and charges again, while the last reference of others is dropped: the
/// bytes stay.
pub(crate) fn a_tenant_given_back_whole_is_not_removed() {
    model(|| {
        let table = Arc::new(Table::new(1, false));
        let ending = {
            let entry = table.acquire("acme", || 2).expect("there is room");
            thread::spawn(move || drop(entry))
        };
        let entry = charge(&table);
        entry.ensure_counted();
        entry.balance.release(1);
        entry.balance.charge(1);
        drop(entry);
        ending.join().expect("ended");
        let entry = table.find("acme").expect("it is charged");
        assert_eq!((table.tracked(), entry.balance.charged()), (1, 1));
    });
}

fn charge(table: &Table) -> EntryRef {
    let outcome = table.charge("acme", 1, 0, || 2);
    outcome.unwrap_or_else(|_| panic!("there is room"))
}
