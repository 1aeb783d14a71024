use allocation_counter::measure;
use tower_storage_guard::{
    Leasing, Ledger, LedgerBuilder, Limit,
    test_util::{FakeStore, ManualClock},
};

use crate::names::names;

/// Bytes that a tenant takes who has something stored. Names of 14 bytes.
pub(crate) fn in_memory(tenants: usize) -> f64 {
    bytes(tenants, |builder| builder)
}

/// With a lease each, and without what the store keeps.
pub(crate) fn with_leases(tenants: usize) -> f64 {
    let (store, clock) = (FakeStore::new(), ManualClock::new());
    let leasing = Leasing::new(store.with_clock(&clock));
    bytes(tenants, move |builder| builder.leasing(leasing).manual(clock))
}

fn bytes(tenants: usize, with: impl FnOnce(LedgerBuilder) -> LedgerBuilder) -> f64 {
    let names = names(tenants);
    let mut ledger = None;
    let kept = measure(|| {
        let builder = Ledger::builder().default_limit(Limit::bytes(1 << 40));
        let made = with(builder).build().unwrap();
        for name in &names {
            made.charge(name, 1);
        }
        ledger = Some(made);
    });
    drop(ledger);
    kept.bytes_current as f64 / tenants as f64
}
