//! What keeps a limit over several nodes, one by one: each of these fails when its safeguard is taken out of the script or
//! the lease.

use std::thread;

use tower_storage_guard::{DeniedKind, Leasing};

use crate::{
    fleet::{Fleet, TENANT, Truth},
    proxy::Mode,
    redis_server::RedisServer,
};

const LIMIT: u64 = 1_000_000;

fn fleet(nodes: usize) -> Option<Fleet> {
    Some(Fleet::new(RedisServer::start()?, nodes, LIMIT, |leasing, _| leasing))
}

fn assert_within(fleet: &Fleet) {
    let taken = fleet.taken();
    assert!(taken <= LIMIT, "{taken} of {LIMIT} bytes are taken");
}

/// The sequence: a message that gave bytes back comes once more, after its node has leased them again.
#[test]
fn a_late_duplicate_gives_nothing_to_others() {
    let Some(mut fleet) = fleet(2) else { return };
    assert!(fleet.members[0].reserve(900_000));
    fleet.members[0].grants.clear();
    fleet.settle();
    let late = fleet.members[0].proxy.take_requests();
    assert!(fleet.members[0].reserve(900_000));

    for request in &late {
        fleet.members[1].proxy.replay(request);
        assert!(!fleet.members[1].reserve(500_000));
        assert_within(&fleet);
    }
    let truth = fleet.truth.clone();
    fleet.members[0].commit_last(900_000, &truth);
    fleet.assert_fills("after late duplicates");
}

/// Shares that are sums: a report whose reply was lost is told again, and counts once.
#[test]
fn a_report_that_is_repeated_counts_once() {
    let Some(mut fleet) = fleet(2) else { return };
    let truth = fleet.truth.clone();
    let member = &mut fleet.members[0];
    for _ in 0..4 {
        assert!(member.reserve(100_000));
        member.commit_last(100_000, &truth);
        member.proxy.replies(Mode::Break);
        member.beat();
        member.proxy.replies(Mode::Pass);
    }
    fleet.assert_fills("after lost replies");
}

/// Shares that are sums: an engine that has lost reports hears all of it with the next.
#[test]
fn a_report_that_the_engine_lost_is_made_up_for() {
    let Some(mut fleet) = fleet(2) else { return };
    let truth = fleet.truth.clone();
    assert!(fleet.members[0].reserve(1));
    let () = fleet.server.command(&["SAVE"]);
    assert!(fleet.members[0].reserve(600_000));
    fleet.members[0].commit_last(600_000, &truth);
    fleet.members[0].beat();
    fleet.server.restart();
    fleet.members[0].beat();
    assert!(!fleet.members[1].reserve(500_000));
    fleet.members[0].grants.clear();
    fleet.assert_fills("after a rollback");
}

/// What was told by a node that has had nothing to do with the tenant since is not told again, but can be measured.
#[test]
fn a_report_that_nobody_repeats_is_measured() {
    let Some(mut fleet) = fleet(2) else { return };
    let truth = fleet.truth.clone();
    assert!(fleet.members[0].reserve(1));
    let () = fleet.server.command(&["SAVE"]);
    assert!(fleet.members[0].reserve(600_000));
    fleet.members[0].commit_last(600_000, &truth);
    fleet.members[0].grants.clear();
    fleet.settle();
    fleet.server.restart();
    fleet.measure();
    assert!(!fleet.members[1].reserve(500_000));
    fleet.assert_fills("after a rollback");
}

/// More is deleted than was ever told, because there was more than nothing when it began. Measuring sets that right, too.
#[test]
fn what_was_there_before_and_deleted_is_measured() {
    let Some(mut fleet) = fleet(2) else { return };
    let truth = fleet.truth.clone();
    truth.write(700_000);
    fleet.members[0].delete(100_000, &truth);
    fleet.settle();
    fleet.measure();
    assert!(!fleet.members[1].reserve(500_000));
    fleet.assert_fills("after a measurement");
}

/// Not known is not nothing: the engine has lost everything, and who comes next was not there before.
#[test]
fn a_lost_record_is_not_taken_for_nothing_stored() {
    let Some(server) = RedisServer::start() else { return };
    let measuring = |leasing: Leasing, truth: &Truth| {
        let truth = truth.clone();
        leasing.measure_missing(move |_: &str| Ok::<_, std::io::Error>(truth.bytes()))
    };
    let mut fleet = Fleet::new(server, 2, LIMIT, measuring);
    let truth = fleet.truth.clone();
    assert!(fleet.members[0].reserve(700_000));
    fleet.members[0].commit_last(700_000, &truth);
    fleet.settle();
    let () = fleet.server.command(&["FLUSHALL"]);
    assert!(!fleet.members[1].reserve(500_000));
    assert_within(&fleet);
    fleet.assert_fills("after all was lost");
}

/// The same while nobody can measure: nothing is granted.
#[test]
fn nothing_is_granted_while_it_is_not_known_what_is_stored() {
    let Some(server) = RedisServer::start() else { return };
    let failing = |leasing: Leasing, _: &Truth| leasing.measure_missing(|_: &str| Err::<u64, _>("no access"));
    let mut fleet = Fleet::new(server, 1, LIMIT, failing);
    assert!(!fleet.members[0].reserve(1));
    assert!(!fleet.members[0].reserve(1));
}

/// Lower before send: what a message gives back is not used here any more while nobody knows whether it has arrived.
#[test]
fn what_is_being_given_back_is_not_used_meanwhile() {
    let Some(mut fleet) = fleet(2) else { return };
    assert!(fleet.members[0].reserve(900_000));
    fleet.members[0].grants.clear();

    // It is idle and gives all back; the engine has heard of it, and the node does not know.
    fleet.members[0].proxy.replies(Mode::Hold);
    let mut beating = fleet.members.remove(0);
    let ledger = beating.ledger.clone();
    let proxy = beating.proxy.clone();
    let beat = thread::spawn(move || {
        beating.beat();
        beating.beat();
        beating
    });
    proxy.wait_until_held();
    assert!(fleet.members[0].reserve(500_000), "it is free");
    let meanwhile = ledger.try_reserve(TENANT, 800_000);
    let used_twice = meanwhile.is_ok();
    assert!(!used_twice, "{} bytes are taken", fleet.taken() + 800_000);
    assert_eq!(meanwhile.unwrap_err().kind(), DeniedKind::WouldWait);
    proxy.replies(Mode::Pass);
    proxy.release();
    fleet.members.push(beat.join().unwrap());
    assert_within(&fleet);
    fleet.members[0].grants.clear();
    fleet.assert_fills("after it was given back");
}

/// Hold: a lease that has ended long ago is not given to others, because its node may only stand still.
#[test]
fn a_silent_nodes_lease_is_kept_for_it() {
    let Some(mut fleet) = fleet(1) else { return };
    let truth = fleet.truth.clone();
    assert!(fleet.members[0].reserve(900_000));
    fleet.add_from_later();
    assert!(!fleet.members[1].reserve(500_000));
    fleet.members[0].commit_last(900_000, &truth);
    assert_within(&fleet);
    fleet.assert_fills("after a silence");
}

/// And with a time after which it is: that costs what the silent node had leased, and no more.
#[test]
fn a_silent_nodes_lease_is_given_to_others_where_that_is_wanted() {
    let Some(server) = RedisServer::start() else { return };
    let reaping = |leasing: Leasing, _: &Truth| leasing.reap_after(std::time::Duration::ZERO);
    let mut fleet = Fleet::new(server, 1, LIMIT, reaping);
    let truth = fleet.truth.clone();
    assert!(fleet.members[0].reserve(900_000));
    fleet.add_from_later();
    assert!(fleet.members[1].reserve(500_000));
    fleet.members[0].commit_last(900_000, &truth);
    fleet.members[1].commit_last(500_000, &truth);
    // It is told that it was forgotten, and what it has stored counts all the same.
    fleet.settle();
    assert!(!fleet.members[0].reserve(1));
    assert!(!fleet.members[1].reserve(1));
    assert_eq!(fleet.members[1].used(), 1_400_000);
    fleet.members[1].delete(500_000, &truth);
    fleet.settle();
    // What it leases anew is not taken for an earlier start's.
    assert!(fleet.members[0].reserve(1000));
    fleet.members[0].grants.clear();
    fleet.assert_fills("after a lease was given to others");
}
