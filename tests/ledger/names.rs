//! Names come from clients.

use tower_storage_guard::{BuildErrorKind, DeniedKind, Ledger, Limit};

#[test]
fn a_million_made_up_names_leave_nothing_behind_and_push_nobody_out() {
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(10))
        .max_tenants(1000)
        .build()
        .unwrap();
    for known in 0..500 {
        ledger.charge(&format!("known-{known}"), 1 + known % 10);
    }
    for made_up in 0..1_000_000 {
        // Refused, or given up.
        let name = format!("made-up-{made_up}");
        if made_up % 2 == 0 {
            assert!(ledger.try_reserve(&name, 11).is_err());
        } else {
            drop(ledger.try_reserve(&name, 5).unwrap());
        }
    }
    assert_eq!(ledger.report().tenants, 500);
    for known in 0..500 {
        assert_eq!(ledger.usage(&format!("known-{known}")).used, 1 + known % 10);
    }
}

#[test]
fn there_are_at_most_so_many_tenants() {
    let ledger = Ledger::builder().max_tenants(3).build().unwrap();
    for tenant in ["a", "b", "c"] {
        ledger.charge(tenant, 1);
    }
    assert_eq!(ledger.try_reserve("d", 1).unwrap_err().kind(), DeniedKind::Unknown);
    drop(ledger.try_reserve("b", 1).unwrap());
    ledger.credit("a", 1);
    drop(ledger.try_reserve("d", 1).unwrap());
    assert_eq!(ledger.report().tenants, 2);
}

#[test]
fn whoever_there_is_no_room_for_shares_an_account() {
    let ledger = Ledger::builder()
        .max_tenants(2)
        .overflow("others")
        .limit("others", Limit::bytes(5))
        .build()
        .unwrap();
    ledger.charge("a", 1);
    ledger.try_reserve("b", 3).unwrap().commit(3);
    assert!(ledger.try_reserve("c", 3).is_err());
    assert_eq!(ledger.usage("others").used, 3);
    drop(ledger.try_reserve("a", 1000).unwrap());
}

#[test]
fn settings_without_sense_are_named() {
    for (builder, setting) in [
        (Ledger::builder().max_tenants(0), "max_tenants"),
        (Ledger::builder().limit("", Limit::bytes(1)), "limit"),
        (Ledger::builder().overflow("x".repeat(257)), "overflow"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (BuildErrorKind::InvalidSetting, setting)
        );
        assert!(error.to_string().contains("give"), "{error}");
    }
}
