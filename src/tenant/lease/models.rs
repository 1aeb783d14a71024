//! Models of how leased bytes go from hand to hand, for `loom`.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{future::block_on, thread};

use super::{
    LeaseSettings, MissingRecord, SyncReply, Synced, Unreachable,
    lease::{Lease, Occasion},
    waiter::Waiter,
};
use crate::{
    sync::model,
    tenant::{
        Denied, DeniedKind, Limit,
        balance::{Balance, LEASED},
    },
};

const LIMIT: u64 = 100;

fn settings() -> LeaseSettings {
    LeaseSettings {
        node: "a".into(),
        is_anonymous: false,
        chunk: 0,
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(1),
        give_back_after: 1,
        forget_after: 9,
        is_shared: true,
        reap_after: None,
        patience: Duration::from_secs(1),
        unreachable: Unreachable::FailClosed,
        missing: MissingRecord::default(),
    }
}

fn synced(hold: u64) -> SyncReply {
    SyncReply::Synced(Synced {
        hold,
        room: LIMIT - hold,
        is_quiet: false,
        share: 0,
        used: 0,
        shortfall: 0,
        held_elsewhere: 0,
        limit: Limit::bytes(LIMIT),
        epoch: 1,
    })
}

/// A balance of which so much is leased.
fn leased(bytes: u64) -> (Arc<Balance>, Lease) {
    let balance = Arc::new(Balance::leased());
    let mut lease = Lease::new("acme".into(), 1);
    request(&mut lease, &balance, Occasion::Asked);
    lease.take_in(&balance, &synced(bytes), &settings());
    assert_eq!(LEASED - balance.charged(), bytes);
    (balance, lease)
}

fn request(lease: &mut Lease, balance: &Balance, occasion: Occasion) -> u64 {
    let request = lease.prepare(balance, &settings(), Limit::bytes(LIMIT), 1, occasion, Duration::ZERO);
    request.floor
}

/// Somebody waits for so much, and the store is asked.
fn waits(lease: &mut Lease, balance: &Balance, bytes: u64) -> Arc<Waiter> {
    let waiter = Arc::new(Waiter::new(bytes));
    lease.waiting.push_back(waiter.clone());
    request(lease, balance, Occasion::Asked);
    waiter
}

/// A request waits for bytes, gets them, or goes away just then; and its time may run out.
pub(crate) fn granted_bytes_are_fetched_or_given_back() {
    model(|| {
        let (balance, mut lease) = leased(0);
        let waiter = waits(&mut lease, &balance, 3);
        let keeper = {
            let balance = balance.clone();
            thread::spawn(move || {
                lease.take_in(&balance, &synced(3), &settings());
            })
        };
        let deadline = {
            let waiter = waiter.clone();
            thread::spawn(move || waiter.resolve(Err(Denied::new(DeniedKind::Unknown))))
        };
        let has_them = match waiter.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.is_ok(),
            Poll::Pending => {
                if waiter.abandon() {
                    balance.release(3);
                }
                false
            }
        };
        keeper.join().expect("ended");
        deadline.join().expect("ended");
        let spare = LEASED - balance.charged();
        assert_eq!(spare, if has_them { 0 } else { 3 });
    });
}

pub(crate) fn whoever_waits_is_woken() {
    model(|| {
        let waiter = Arc::new(Waiter::new(3));
        let keeper = {
            let waiter = waiter.clone();
            thread::spawn(move || waiter.resolve(Ok(())))
        };
        let outcome = block_on(std::future::poll_fn(|context| waiter.poll(context)));
        assert_eq!(outcome, Ok(()));
        assert!(keeper.join().expect("ended"), "somebody waited");
    });
}

/// What goes back to the record is taken from requests before the message goes out.
pub(crate) fn what_is_given_back_is_not_spent() {
    model(|| {
        let (balance, mut lease) = leased(2);
        let spending: Vec<_> = (0..2)
            .map(|_| {
                let balance = balance.clone();
                thread::spawn(move || u64::from(balance.try_charge(1, LEASED).is_some()))
            })
            .collect();
        let kept = request(&mut lease, &balance, Occasion::Recall);
        let spent: u64 = spending.into_iter().map(|thread| thread.join().expect("ended")).sum();
        assert!(spent <= kept, "{spent} were spent of {kept} that are still leased");
        assert_eq!(LEASED - balance.charged(), kept - spent);
    });
}

/// Bytes that were let through without a lease are paid for by the next grant; who waits gets what is left, if it is
/// enough, whatever other requests take meanwhile.
pub(crate) fn debts_come_before_grants() {
    model(|| {
        let (balance, mut lease) = leased(0);
        balance.charge(2);
        let waiter = waits(&mut lease, &balance, 2);
        let spending = {
            let balance = balance.clone();
            thread::spawn(move || u64::from(balance.try_charge(1, LEASED).is_some()))
        };
        lease.take_in(&balance, &synced(3), &settings());
        let spent = spending.join().expect("ended");
        let outcome = waiter.poll(&Context::from_waker(Waker::noop()));
        assert!(!matches!(outcome, Poll::Ready(Ok(()))), "one is left at most");
        assert_eq!(LEASED - balance.charged(), 3 - 2 - spent);
    });
}

/// What is granted goes to whoever waits, whoever else comes in that moment.
pub(crate) fn a_grant_is_never_open_to_others() {
    model(|| {
        let (balance, mut lease) = leased(0);
        let waiter = waits(&mut lease, &balance, 3);
        let passing = {
            let balance = balance.clone();
            thread::spawn(move || balance.try_charge(1, LEASED))
        };
        lease.take_in(&balance, &synced(3), &settings());
        assert_eq!(passing.join().expect("ended"), None);
        let outcome = waiter.poll(&Context::from_waker(Waker::noop()));
        assert_eq!(outcome, Poll::Ready(Ok(())));
    });
}
