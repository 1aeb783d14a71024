//! The ledgers of a world.

use std::sync::Mutex;

use tower_storage_guard::{Leasing, Ledger, Limit, test_util::FakeStore};

use crate::{
    plan::{Habits, TENANTS},
    site::Site,
};

const MIB: u64 = 1 << 20;

/// A ledger, and what is known of it.
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) store: Option<FakeStore>,
    /// All tenants are one here: the organisation that they belong to.
    pub(crate) is_shared: bool,
    pub(crate) limits: Mutex<[u64; 3]>,
    /// The highest so far.
    pub(crate) most: Mutex<[u64; 3]>,
    /// More than the limit may have been charged, because that is what the settings say.
    pub(crate) is_tainted: Mutex<bool>,
}

impl Book {
    /// Whose account a tenant's is.
    pub(crate) fn account(&self, tenant: usize) -> usize {
        if self.is_shared { 0 } else { tenant }
    }

    pub(crate) fn accounts(&self) -> std::ops::Range<usize> {
        if self.is_shared { 0..1 } else { 0..3 }
    }

    pub(crate) fn name(&self, account: usize) -> &'static str {
        if self.is_shared { "everybody" } else { TENANTS[account] }
    }
}

pub(crate) fn books(site: &Site, habits: Habits) -> Vec<Book> {
    let mut books = vec![book(site, habits, false)];
    if site.one_in(3) {
        site.count("charge of two ledgers");
        books.push(book(site, habits, true));
        if site.one_in(2) {
            books.reverse();
        }
    }
    books
}

fn book(site: &Site, habits: Habits, is_shared: bool) -> Book {
    let limit = if habits.hints {
        MIB / 4
    } else {
        (1 + site.below(24)) * MIB
    };
    let limit = limit + site.below(1000);
    let store = (!is_shared && (habits.hints || site.one_in(2))).then(|| FakeStore::new().with_clock(&site.clock));
    let mut builder = Ledger::builder()
        .name(if is_shared { "organisation" } else { "tenants" })
        .default_limit(Limit::bytes(limit))
        .manual(site.clock.clone());
    if let Some(store) = &store {
        let chunk = site.below(2) * (site.below(4) * MIB);
        builder = builder.leasing(Leasing::new(store.clone()).node("here").chunk(chunk));
    }
    Book {
        ledger: builder.build().unwrap(),
        store,
        is_shared,
        limits: Mutex::new([limit; 3]),
        most: Mutex::new([limit; 3]),
        is_tainted: Mutex::new(false),
    }
}
