//! A ledger in memory.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

use tower_storage_guard::{DeniedKind, Ledger, Limit};

fn ledger(limit: u64) -> Ledger {
    Ledger::builder().default_limit(Limit::bytes(limit)).build().unwrap()
}

fn used(ledger: &Ledger, tenant: &str) -> (u64, u64) {
    let usage = ledger.usage(tenant);
    (usage.used, usage.reserved)
}

#[test]
fn what_is_reserved_is_stored_or_given_back() {
    let ledger = ledger(100);
    let grant = ledger.try_reserve("a", 60).unwrap();
    assert_eq!(used(&ledger, "a"), (0, 60));
    assert_eq!(ledger.try_reserve("a", 41).unwrap_err().kind(), DeniedKind::Quota);
    assert_eq!(
        ledger.try_reserve("a", 101).unwrap_err().kind(),
        DeniedKind::ExceedsQuota
    );
    drop(ledger.try_reserve("a", 40).unwrap());
    grant.commit(50);
    assert_eq!(used(&ledger, "a"), (50, 0));
    drop(ledger.try_reserve("a", 50).unwrap());
    assert_eq!(used(&ledger, "a"), (50, 0));
    assert_eq!(used(&ledger, "b"), (0, 0), "tenants do not know each other");
}

#[test]
fn more_than_was_reserved_is_charged_even_past_the_limit() {
    let ledger = ledger(100);
    ledger.try_reserve("a", 60).unwrap().commit(130);
    assert_eq!(used(&ledger, "a"), (130, 0));
    assert_eq!(ledger.try_reserve("a", 0).unwrap_err().kind(), DeniedKind::Quota);
    ledger.credit("a", 40);
    drop(ledger.try_reserve("a", 10).unwrap());
    ledger.charge("a", 500);
    assert_eq!(ledger.usage("a").used, 590);
}

#[test]
fn a_credit_never_makes_more_than_there_was() {
    let ledger = ledger(100);
    let grant = ledger.try_reserve("a", 30).unwrap();
    ledger.credit("a", 1000);
    assert_eq!(used(&ledger, "a"), (0, 30), "what is reserved is not stored yet");
    grant.commit(30);
    ledger.credit("a", 1000);
    assert_eq!(used(&ledger, "a"), (0, 0));
    ledger.credit("nobody", 1000);
    assert_eq!(ledger.report().tenants, 0);
}

#[test]
fn a_grant_grows_while_it_may() {
    let ledger = ledger(100);
    let mut grant = ledger.try_reserve("a", 10).unwrap();
    grant.extend(80).unwrap();
    assert_eq!(grant.extend(11).unwrap_err().kind(), DeniedKind::Quota);
    assert_eq!(grant.reserved(), 90);
    grant.commit(90);
    assert_eq!(used(&ledger, "a"), (90, 0));
}

#[test]
fn an_account_is_kept_for_whoever_has_nothing_reserved_yet() {
    let ledger = ledger(100);
    let mut grant = ledger.try_reserve("a", 0).unwrap();
    drop(ledger.try_reserve("a", 5).unwrap());
    let other = ledger.try_reserve("b", 1).unwrap();
    grant.extend(10).unwrap();
    assert_eq!(used(&ledger, "a"), (0, 10));
    assert_eq!(used(&ledger, "b"), (0, 1), "no account is two tenants'");
    grant.commit(10);
    drop(other);
    assert_eq!((used(&ledger, "a"), used(&ledger, "b")), ((10, 0), (0, 0)));
}

#[test]
fn limits_change_at_once() {
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(10))
        .limit("rich", Limit::bytes(1000))
        .limit("guest", Limit::bytes(0))
        .build()
        .unwrap();
    drop(ledger.try_reserve("rich", 1000).unwrap());
    assert!(ledger.try_reserve("guest", 1).unwrap_err().is_permanent());
    ledger.try_reserve("poor", 5).unwrap().commit(5);
    assert!(ledger.try_reserve("poor", 6).is_err());

    ledger.set_default_limit(Limit::bytes(20));
    drop(ledger.try_reserve("poor", 15).unwrap());
    ledger.set_limit("poor", Limit::UNLIMITED).unwrap();
    drop(ledger.try_reserve("poor", 1 << 50).unwrap());
    ledger.set_limit("poor", Limit::bytes(4)).unwrap();
    assert_eq!(
        ledger.try_reserve("poor", 0).unwrap_err().kind(),
        DeniedKind::Quota,
        "5 of 4 are stored"
    );
    ledger.set_limit("poor", None).unwrap();
    assert_eq!(ledger.usage("poor").limit, Limit::bytes(20));

    ledger.set_limits([("poor", Limit::bytes(7))]);
    assert_eq!(ledger.usage("poor").available(), 2);
    assert_eq!(ledger.usage("rich").limit, Limit::bytes(20), "no longer in the list");
    ledger.set_limit("poor", Limit::bytes(8)).unwrap();
    ledger.set_limits([("poor", Limit::bytes(100))]);
    assert_eq!(ledger.usage("poor").limit, Limit::bytes(8), "set by hand is stronger");
}

#[test]
fn nothing_and_unlimited_are_different() {
    let ledger = Ledger::builder().limit("none", Limit::bytes(0)).build().unwrap();
    drop(ledger.try_reserve("anybody", 1 << 59).unwrap());
    assert!(ledger.try_reserve("none", 1).unwrap_err().is_permanent());
    assert!(
        ledger.try_reserve("anybody", u64::MAX).is_err(),
        "absurd amounts are never taken"
    );
}

#[test]
fn no_byte_is_given_out_twice() {
    const LIMIT: u64 = 100_000;
    let ledger = ledger(LIMIT);
    let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..4_u64 {
            let (ledger, held, most) = (&ledger, &held, &most);
            scope.spawn(move || {
                let mut state = seed + 1;
                for _ in 0..20_000 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let bytes = (state >> 33) % 40_000;
                    if let Ok(grant) = ledger.try_reserve("a", bytes) {
                        let now = held.fetch_add(bytes, SeqCst) + bytes;
                        most.fetch_max(now, SeqCst);
                        held.fetch_sub(bytes, SeqCst);
                        drop(grant);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= LIMIT);
    assert_eq!(used(&ledger, "a"), (0, 0));
    assert_eq!(ledger.report().tenants, 0);
}

#[test]
fn a_scan_adds_the_difference_and_not_the_measured() {
    let ledger = ledger(1000);
    ledger.try_reserve("a", 100).unwrap().commit(100);
    let scan = ledger.scan("a").wait().unwrap();
    assert_eq!((scan.used(), scan.used_here()), (100, 100));
    // Goes on while somebody counts.
    ledger.try_reserve("a", 50).unwrap().commit(50);
    scan.reconcile(130);
    assert_eq!(used(&ledger, "a"), (180, 0));
    ledger.scan("a").wait().unwrap().reconcile_here(20);
    assert_eq!(used(&ledger, "a"), (20, 0));
    ledger.scan("b").wait().unwrap().reconcile(7);
    assert_eq!(used(&ledger, "b"), (7, 0));
}

#[test]
fn a_tenant_that_has_too_much_can_be_scanned() {
    let ledger = ledger(10);
    ledger.charge("a", 30);
    let scan = ledger.scan("a").wait().unwrap();
    assert_eq!((scan.used(), scan.used_here()), (30, 30));
    scan.reconcile(5);
    assert_eq!(used(&ledger, "a"), (5, 0));
}

#[test]
fn the_fullest_come_first() {
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(100))
        .limit("big", Limit::bytes(1000))
        .limit("free", Limit::UNLIMITED)
        .build()
        .unwrap();
    for (tenant, bytes) in [("big", 300), ("half", 50), ("free", 1 << 40), ("full", 100)] {
        ledger.charge(tenant, bytes);
    }
    let names: Vec<_> = ledger.fullest(3).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["full", "half", "big"]);
}
