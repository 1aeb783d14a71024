//! A lease by itself: what it tells, keeps and gives back, byte for byte.

use std::num::NonZeroU32;

use super::{
    super::{SyncReply, Synced},
    *,
};

const TTL: Duration = Duration::from_secs(10);

fn settings(chunk: u64) -> LeaseSettings {
    LeaseSettings {
        node: "n".into(),
        is_anonymous: false,
        chunk,
        ttl: TTL,
        heartbeat: TTL / 4,
        give_back_after: 2,
        forget_after: 4,
        is_shared: true,
        reap_after: None,
        patience: Duration::from_secs(1),
        unreachable: Unreachable::default(),
        missing: MissingRecord::StartAtZero,
    }
}

fn synced(hold: u64, room: u64) -> Synced {
    Synced {
        hold,
        room,
        is_quiet: false,
        share: 0,
        used: 0,
        shortfall: 0,
        held_elsewhere: 0,
        limit: Limit::bytes(10_000),
        epoch: 1,
    }
}

/// A tenant of whom the record has not been asked yet.
fn fresh() -> (Lease, Balance) {
    (Lease::new("t".into(), 7), Balance::leased())
}

fn ask(lease: &mut Lease, balance: &Balance, chunk: u64, occasion: Occasion, now: Duration) -> SyncRequest {
    lease.stage = Stage::InFlight { again: false };
    lease.prepare(balance, &settings(chunk), Limit::bytes(10_000), 1, occasion, now)
}

/// A tenant whose node asked at 100 s and was answered with this.
fn leased(reply: Synced) -> (Lease, Balance) {
    let (mut lease, balance) = fresh();
    ask(&mut lease, &balance, 0, Occasion::Asked, Duration::from_secs(100));
    let next = lease.take_in(&balance, &SyncReply::Synced(reply), &settings(0));
    assert_eq!(next, Next::Nothing);
    (lease, balance)
}

fn spare(balance: &Balance) -> u64 {
    LEASED - balance.charged()
}

#[test]
fn no_two_records_have_the_same_epoch() {
    let mut seen: Vec<_> = [1, 0xffff_ffff, u64::MAX, 1 << 40]
        .into_iter()
        .flat_map(|incarnation| (1..50).map(move |sequence| epoch(incarnation, sequence)))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4 * 49);
}

#[test]
fn more_is_asked_for_when_half_is_gone_and_there_is_more() {
    let (lease, balance) = leased(synced(1000, 5000));
    assert_eq!(spare(&balance), 1000);
    assert_eq!(lease.refill_above(&balance, 6400), LEASED - 500);
    assert_eq!(lease.refill_above(&balance, 0), u64::MAX, "each request asks by itself");
    // So little is spare that the next request asks anyway.
    assert_eq!(lease.refill_above(&balance, 64 * 1000), u64::MAX);
    assert_eq!(lease.refill_above(&balance, 64 * 1000 - 1), LEASED - 500);
    // The record has hardly more than this.
    let (lease, balance) = leased(synced(1000, 1000));
    assert_eq!(lease.refill_above(&balance, 6400), u64::MAX);
    let (lease, balance) = leased(synced(1000, 1001));
    assert_eq!(lease.refill_above(&balance, 6400), LEASED - 500);
    let (lease, balance) = fresh();
    assert_eq!(lease.refill_above(&balance, 6400), u64::MAX);
}

#[test]
fn a_lease_ends_at_four_fifths_of_its_time_and_covers_what_is_under_way() {
    let (mut lease, balance) = leased(synced(1000, 0));
    assert_eq!(balance.try_charge(300, LEASED), Some(LEASED - 700));
    let ends = Duration::from_secs(108);
    lease.end_if_due(&balance, ends - Duration::from_nanos(1));
    assert_eq!((lease.hold(), spare(&balance)), (1000, 700));
    lease.end_if_due(&balance, ends);
    assert_eq!((lease.hold(), spare(&balance)), (300, 0));
}

#[test]
fn whoever_waits_needs_what_the_lease_does_not_have() {
    let (mut lease, balance) = leased(synced(1000, 5000));
    for bytes in [700, 800] {
        lease.waiting.push_back(Arc::new(Waiter::new(bytes)));
    }
    let request = ask(&mut lease, &balance, 640, Occasion::Asked, TTL);
    assert_eq!((request.floor, request.need, request.chunk), (1000, 500, 640));
    assert_eq!(spare(&balance), 1000, "nothing is given back while somebody waits");
    lease.take_in(&balance, &SyncReply::Synced(synced(1500, 0)), &settings(640));
    assert!(lease.waiting.is_empty());
    assert_eq!((lease.hold(), spare(&balance)), (1500, 0));
    assert_eq!(lease.usage(&balance, Limit::UNLIMITED).reserved, 1500);
}

#[test]
fn of_what_is_spare_only_the_rest_of_a_chunk_is_wanted() {
    let (mut lease, balance) = leased(synced(1000, 5000));
    lease.waiting.push_back(Arc::new(Waiter::new(900)));
    let request = ask(&mut lease, &balance, 640, Occasion::Asked, TTL);
    assert_eq!((request.need, request.chunk), (0, 540));
    let (mut lease, balance) = leased(synced(1000, 5000));
    let request = ask(&mut lease, &balance, 640, Occasion::Asked, TTL);
    assert_eq!(request.chunk, 0, "nobody wants anything");
    lease.wants_refill = true;
    let request = ask(&mut lease, &balance, 1640, Occasion::Asked, TTL);
    assert_eq!(request.chunk, 1000);
    assert!(!lease.wants_refill);
}

#[test]
fn a_heartbeat_gives_back_what_is_more_than_a_chunk_or_a_fair_share() {
    for (chunk, room, kept) in [(640, 5000, 640), (640, 600, 200), (0, 5000, 0)] {
        let (mut lease, balance) = leased(synced(1000, room));
        let request = ask(&mut lease, &balance, chunk, Occasion::Heartbeat, TTL);
        assert_eq!(request.floor, kept, "{chunk} {room}");
        assert_eq!((lease.hold(), spare(&balance)), (kept, kept), "{chunk} {room}");
        assert_eq!(request.chunk, chunk - kept, "there was a request since the last one");
    }
    for occasion in [Occasion::Recall, Occasion::Closing] {
        let (mut lease, balance) = leased(synced(1000, 5000));
        lease.wants_refill = true;
        balance.try_charge(300, LEASED);
        let request = ask(&mut lease, &balance, 640, occasion, TTL);
        assert_eq!((request.floor, request.chunk, spare(&balance)), (300, 0, 0));
    }
}

#[test]
fn after_quiet_heartbeats_all_goes_back_and_then_the_tenant_is_forgotten() {
    let (mut lease, balance) = leased(synced(1000, 5000));
    let settings = settings(640);
    balance.charge(10);
    assert!(
        lease.beat(&balance, &settings) && lease.quiet_beats == 0,
        "10 bytes are reserved"
    );
    balance.store(10);
    assert!(lease.has_news(&balance));
    lease.beat(&balance, &settings);
    assert_eq!(lease.quiet_beats, 0, "they were stored");
    for quiet in 1..=2 {
        lease.beat(&balance, &settings);
        assert_eq!(lease.quiet_beats, quiet);
    }
    let request = ask(&mut lease, &balance, 640, Occasion::Heartbeat, TTL);
    assert_eq!((request.share, request.floor, request.chunk), (Some(10), 0, 0));
    let reply = Synced {
        share: 10,
        used: 10,
        ..synced(0, 5000)
    };
    lease.take_in(&balance, &SyncReply::Synced(reply), &settings);
    assert!(!lease.has_news(&balance));
    assert!(
        !lease.is_over(&balance, &settings),
        "it repeats what was stored for a while"
    );
    lease.beat(&balance, &settings);
    assert!(!lease.is_over(&balance, &settings));
    lease.beat(&balance, &settings);
    assert!(lease.is_over(&balance, &settings));
    lease.credit(1);
    assert!(lease.has_news(&balance) && !lease.is_over(&balance, &settings));
}

#[test]
fn alone_with_nothing_new_a_heartbeat_says_nothing() {
    let mut alone = settings(640);
    alone.is_shared = false;
    let (mut lease, balance) = leased(synced(1000, 5000));
    assert!(!lease.beat(&balance, &alone));
    assert!(lease.beat(&balance, &alone), "now the lease goes back");
    let (mut lease, balance) = leased(synced(1000, 5000));
    lease.credit(1);
    assert!(lease.beat(&balance, &alone));
}

#[test]
fn what_lies_beyond_a_limit_that_was_lowered_is_not_given_out_and_goes_back() {
    let (mut lease, balance) = leased(synced(1000, 0));
    balance.try_charge(500, LEASED);
    ask(&mut lease, &balance, 1000, Occasion::Asked, TTL);
    // 500 are under way, 400 may be: nothing is spare.
    let lowered = Synced {
        limit: Limit::bytes(400),
        ..synced(lease.hold(), 0)
    };
    lease.take_in(&balance, &SyncReply::Synced(lowered), &settings(1000));
    assert_eq!(balance.try_charge(1, LEASED), None);
    assert_eq!(lease.usage(&balance, Limit::UNLIMITED).reserved, 500);
    // They end without being stored: what is beyond goes back with the next request, the rest can be had again.
    balance.release(500);
    let request = ask(&mut lease, &balance, 1000, Occasion::Asked, TTL);
    assert_eq!((request.floor, lease.hold()), (spare(&balance), spare(&balance)));
    assert!(spare(&balance) <= 400, "{}", spare(&balance));
    assert_eq!(lease.usage(&balance, Limit::UNLIMITED).reserved, 0);
    balance.try_charge(10, LEASED);
    assert_eq!(lease.usage(&balance, Limit::UNLIMITED).reserved, 10);
}

#[test]
fn without_the_store_a_policy_decides_up_to_the_byte() {
    let half = Unreachable::LocalShare(NonZeroU32::MIN.saturating_add(1));
    let (lease, balance) = leased(Synced {
        share: 3000,
        used: 3000,
        ..synced(0, 0)
    });
    let decide = |bytes, policy| {
        let outcome = lease.decide_alone(&balance, bytes, policy, Limit::UNLIMITED);
        outcome.map_err(|denied| (denied.kind(), denied.limit()))
    };
    let limit = Some(10_000);
    assert_eq!(decide(2001, half), Err((DeniedKind::Quota, limit)));
    assert_eq!(decide(1500, half), Ok(()));
    assert_eq!(decide(501, half), Err((DeniedKind::Quota, limit)), "1500 are reserved");
    assert_eq!(decide(500, half), Ok(()));
    assert_eq!(decide(0, half), Ok(()));
    assert_eq!(balance.charged(), LEASED + 2000, "what no lease covers is a debt");
    assert_eq!(decide(0, Unreachable::FailClosed), Err((DeniedKind::Unknown, None)));
    assert_eq!(
        decide(10_001, Unreachable::FailOpen),
        Err((DeniedKind::ExceedsQuota, limit))
    );
    assert_eq!(decide(10_000, Unreachable::FailOpen), Ok(()));
}

#[test]
fn what_the_record_has_not_heard_counts_here() {
    let (mut lease, balance) = leased(Synced {
        share: 100,
        used: 900,
        held_elsewhere: 50,
        ..synced(1000, 0)
    });
    balance.try_charge(30, LEASED);
    balance.store(20);
    lease.credit(5);
    assert_eq!(lease.share(balance.used()), Some(115));
    assert_eq!(lease.sum(balance.used()), 915);
    let usage = lease.usage(&balance, Limit::UNLIMITED);
    assert_eq!((usage.used, usage.reserved, usage.held_elsewhere), (915, 10, 50));
    assert_eq!(usage.limit, Limit::bytes(10_000), "what the record says");
    // Once it has heard, that counts there.
    let request = ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
    let reply = Synced {
        share: 115,
        used: 915,
        ..synced(request.floor, 0)
    };
    lease.take_in(&balance, &SyncReply::Synced(reply), &settings(0));
    let usage = lease.usage(&balance, Limit::UNLIMITED);
    assert_eq!((usage.used, usage.reserved), (915, 10));
    // More was deleted than was ever told.
    let (lease, balance) = leased(Synced {
        shortfall: 7,
        ..synced(0, 0)
    });
    assert_eq!(lease.sum(balance.used()), -7);
    assert_eq!(lease.usage(&balance, Limit::UNLIMITED).used, 0);
}

/// Somebody waits, and the store was asked; or was asked before.
fn waits(lease: &mut Lease, bytes: u64) -> Arc<Waiter> {
    let waiter = Arc::new(Waiter::new(bytes));
    lease.waiting.push_back(waiter.clone());
    waiter
}

#[test]
fn what_is_granted_comes_on_top_of_what_is_spare() {
    let (mut lease, balance) = leased(synced(1000, 5000));
    balance.try_charge(800, LEASED);
    let waiter = waits(&mut lease, 450);
    let request = ask(&mut lease, &balance, 50, Occasion::Asked, TTL);
    assert_eq!((request.floor, request.need), (1000, 250));
    lease.take_in(&balance, &SyncReply::Synced(synced(1300, 0)), &settings(50));
    assert_eq!(waiter.outcome(), Ok(()));
    assert_eq!(spare(&balance), 50);
}

#[test]
fn who_does_not_fit_is_told_so_and_what_there_is() {
    for (bytes, kind) in [
        (501, DeniedKind::Quota),
        (10_000, DeniedKind::Quota),
        (10_001, DeniedKind::ExceedsQuota),
    ] {
        let (mut lease, balance) = fresh();
        let waiter = waits(&mut lease, bytes);
        ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
        let next = lease.take_in(&balance, &SyncReply::Synced(synced(0, 500)), &settings(0));
        let denied = waiter.outcome().unwrap_err();
        assert_eq!((denied.kind(), denied.limit()), (kind, Some(10_000)), "{bytes}");
        assert_eq!((denied.available(), next), (500, Next::Nothing));
    }
}

#[test]
fn who_came_after_the_question_is_not_answered_with_it() {
    let (mut lease, balance) = leased(synced(0, 5000));
    let first = waits(&mut lease, 300);
    ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
    let second = waits(&mut lease, 600);
    let next = lease.take_in(&balance, &SyncReply::Synced(synced(300, 500)), &settings(0));
    assert_eq!((first.outcome(), next), (Ok(()), Next::Again));
    assert!(second.is_waiting());
}

#[test]
fn of_a_record_that_was_made_anew_by_measuring_nothing_told_is_told_again() {
    let (mut lease, balance) = fresh();
    assert!(!lease.is_lost(), "nobody ever knew one");
    ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
    lease.take_in(&balance, &SyncReply::Synced(synced(500, 0)), &settings(0));
    assert!(lease.is_lost());
    balance.try_charge(300, LEASED);
    balance.store(300);
    lease.credit(20);
    let request = ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
    assert_eq!(request.share, Some(280));
    let told = Synced {
        share: 280,
        used: 280,
        ..synced(request.floor, 0)
    };
    lease.take_in(&balance, &SyncReply::Synced(told), &settings(0));
    balance.charge(7);
    balance.store(7);
    assert_eq!(ask(&mut lease, &balance, 0, Occasion::Asked, TTL).share, Some(287));
    let next = lease.take_in(&balance, &SyncReply::Reseeded { epoch: 9 }, &settings(0));
    assert_eq!(next, Next::Again);
    let request = ask(&mut lease, &balance, 0, Occasion::Asked, TTL);
    assert_eq!((request.share, request.epoch), (Some(7), Some(9)));
}
