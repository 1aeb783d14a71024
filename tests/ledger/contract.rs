//! The contract of all ledgers, in memory and with leases out of a store in memory.

use tower_storage_guard::{
    Leasing, Ledger, Limit,
    test_util::{FakeStore, ManualClock},
};

use crate::ledger_contract::{DEFAULT, keeps_the_contract};

#[test]
fn in_memory() {
    keeps_the_contract(2000, || {
        Ledger::builder().default_limit(Limit::bytes(DEFAULT)).build().unwrap()
    });
}

#[test]
fn with_leases() {
    for chunk in [0, 50, 1 << 20] {
        keeps_the_contract(700, || {
            Ledger::builder()
                .default_limit(Limit::bytes(DEFAULT))
                .leasing(Leasing::new(FakeStore::new()).node("a").chunk(chunk))
                .manual(ManualClock::new())
                .build()
                .unwrap()
        });
    }
}
