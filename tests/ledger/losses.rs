//! Nodes that die or stand still, and records that are lost.

use std::sync::{Arc, Mutex};

use tower_storage_guard::{DeniedKind, Leasing, Ledger, MissingRecord};

use crate::leases::{Cluster, SECOND, beat, reserve};

#[test]
fn a_node_that_died_keeps_what_it_had_leased_until_it_comes_back_and_looks() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    let dead = reserve(&a, 600).unwrap();
    std::mem::forget(dead);
    drop(a);
    cluster.clock.advance(1000 * SECOND);
    assert_eq!(
        reserve(&b, 500).unwrap_err(),
        DeniedKind::Quota,
        "nobody else gets it, ever"
    );

    let a = cluster.node("a");
    let scan = a.scan("t");
    while a.step() {}
    let scan = scan.wait().unwrap();
    assert!(scan.used_here() >= 600, "counts as stored until somebody looks");
    assert_eq!(reserve(&b, 500).unwrap_err(), DeniedKind::Quota);
    scan.reconcile_here(250);
    beat(&cluster, &[&a, &b]);
    reserve(&b, 700).unwrap().commit(700);
    beat(&cluster, &[&a, &b]);
    assert_eq!(cluster.store.record("t").unwrap().used(), 950);
}

#[test]
fn with_reaping_others_get_what_a_dead_node_had_leased() {
    let cluster = Cluster::new();
    let reaping = |leasing: Leasing| leasing.ttl(20 * SECOND).reap_after(10 * SECOND);
    let a = cluster.node_with(cluster.store.clone(), |leasing| reaping(leasing.node("a")));
    let b = cluster.node_with(cluster.store.clone(), |leasing| reaping(leasing.node("b")));
    let stands_still = reserve(&a, 600).unwrap();
    reserve(&a, 100).unwrap().commit(100);
    cluster.clock.advance(29 * SECOND);
    assert_eq!(reserve(&b, 900).unwrap_err(), DeniedKind::Quota);
    cluster.clock.advance(2 * SECOND);
    let at_b = reserve(&b, 800).unwrap();
    // It wakes up and is told so. What it has under way still counts, and what it stored was never lost.
    while a.step() {}
    assert!(reserve(&a, 1).is_err());
    stands_still.commit(600);
    beat(&cluster, &[&a]);
    drop(at_b);
    beat(&cluster, &[&a, &b]);
    beat(&cluster, &[&a, &b]);
    assert_eq!(cluster.store.record("t").unwrap().used(), 700);
    assert_eq!(reserve(&b, 301).unwrap_err(), DeniedKind::Quota);
}

#[test]
fn a_node_that_cannot_renew_its_lease_stops_before_others_can_have_it() {
    let cluster = Cluster::new();
    let a = cluster.node_with(cluster.store.clone(), |leasing| {
        leasing.node("a").ttl(20 * SECOND).reap_after(10 * SECOND).chunk(300)
    });
    // Somebody is there all the time; otherwise the lease would have gone back.
    let _upload = reserve(&a, 100).unwrap();
    cluster.store.fail("cut off");
    cluster.clock.advance(15 * SECOND);
    a.step();
    drop(a.try_reserve("t", 10).unwrap());
    cluster.clock.advance(2 * SECOND);
    a.step();
    assert_eq!(a.try_reserve("t", 10).unwrap_err().kind(), DeniedKind::WouldWait);
}

#[test]
fn two_processes_of_one_name_do_not_fight() {
    let cluster = Cluster::new();
    let first = cluster.node("a");
    let upload = reserve(&first, 300).unwrap();
    let second = cluster.node("a");
    drop(reserve(&second, 100).unwrap());
    beat(&cluster, &[&first]);
    assert_eq!(first.reserve("t", 10).wait().unwrap_err().kind(), DeniedKind::Unknown);
    assert!(first.try_reserve("t", 1).is_err());
    upload.commit(300);
    beat(&cluster, &[&first, &second]);
    // What the first had leased counts as stored.
    let used = cluster.store.record("t").unwrap().used();
    assert!((300..=400).contains(&used), "{used}");
    let events = cluster.events.lock().unwrap();
    let told = events
        .iter()
        .filter(|event| event.starts_with("NodeSuperseded"))
        .count();
    assert_eq!(told, 1, "{events:?}");
}

#[test]
fn a_missing_record_is_not_nothing() {
    let cluster = Cluster::new();
    let careful = cluster.node_with(cluster.store.clone(), |leasing| {
        leasing.node("a").on_missing_record(MissingRecord::Refuse)
    });
    assert_eq!(reserve(&careful, 1).unwrap_err(), DeniedKind::Unknown);
    assert!(cluster.store.record("t").is_none());

    let measured = Arc::new(Mutex::new(Err("no answer")));
    let tells = measured.clone();
    let measuring = cluster.node_with(cluster.store.clone(), |leasing| {
        leasing.node("b").measure_missing(move |_: &str| *tells.lock().unwrap())
    });
    assert_eq!(reserve(&measuring, 1).unwrap_err(), DeniedKind::Unknown);
    *measured.lock().unwrap() = Ok(700);
    assert_eq!(reserve(&measuring, 301).unwrap_err(), DeniedKind::Quota);
    drop(reserve(&measuring, 300).unwrap());
    beat(&cluster, &[&measuring]);
    beat(&cluster, &[&measuring]);
    drop(reserve(&careful, 100).unwrap());
}

/// Two nodes that have stored 300 and 600 bytes, of which the engine knows nothing any more.
fn after_a_loss() -> (Cluster, Ledger, Ledger) {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a"), cluster.node("b"));
    reserve(&a, 300).unwrap().commit(300);
    reserve(&b, 600).unwrap().commit(600);
    beat(&cluster, &[&a, &b]);
    cluster.store.lose_records();
    (cluster, a, b)
}

#[test]
fn a_record_that_was_lost_is_told_again_before_anything_is_leased() {
    let (cluster, a, b) = after_a_loss();
    assert_eq!(reserve(&a, 200).unwrap_err(), DeniedKind::Unknown, "b has not told yet");
    beat(&cluster, &[&b]);
    assert_eq!(cluster.store.record("t").unwrap().used(), 900);
    for _ in 0..4 {
        beat(&cluster, &[&a, &b]);
    }
    assert_eq!(reserve(&a, 101).unwrap_err(), DeniedKind::Quota);
    drop(reserve(&a, 100).unwrap());
    assert!(
        cluster
            .events
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.starts_with("RecordLost"))
    );
}

#[test]
fn a_record_that_a_newcomer_made_after_a_loss_waits_for_the_others() {
    let (cluster, a, b) = after_a_loss();
    // Nobody has told it anything yet.
    let c = cluster.node("c");
    drop(reserve(&c, 10).unwrap());
    beat(&cluster, &[&a]);
    assert_eq!(
        reserve(&c, 500).unwrap_err(),
        DeniedKind::Unknown,
        "b may be still to report"
    );
    beat(&cluster, &[&b]);
    for _ in 0..5 {
        beat(&cluster, &[&a, &b, &c]);
    }
    assert_eq!(reserve(&c, 101).unwrap_err(), DeniedKind::Quota);
    drop(reserve(&c, 90).unwrap());
}
