//! The keeper by itself: what it says to the store and when, and who waits for how long.

use std::{collections::HashSet, sync::mpsc, thread};

use super::{
    super::{LeaseStore, Leasing, SyncReply, SyncRequest, Unreachable},
    *,
};
use crate::{
    clock::{ManualClock, SystemClock},
    tenant::{DeniedKind, StoreErrorKind, balance::LEASED, entry::EntryRef, limit_book::LimitBook, table::Table},
    test_util::FakeStore,
};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(20);

struct Node {
    keeper: Keeper,
    accounts: Accounts,
    store: FakeStore,
}

impl Node {
    /// With leases of an hour, and a heartbeat four times in it.
    fn new(clock: impl Clock + 'static, change: impl FnOnce(Leasing) -> Leasing) -> Self {
        let store = FakeStore::new();
        let leasing = change(Leasing::new(store.clone()).node("n").chunk(640).ttl(HOUR));
        Self {
            keeper: Keeper::new("quota".into(), Vec::new(), leasing.settings, Arc::new(clock), 7),
            accounts: Accounts {
                table: Table::new(10_000, true),
                limits: LimitBook::new(Limit::bytes(10_000)),
            },
            store,
        }
    }

    fn round(&self) -> bool {
        self.keeper.round(&self.accounts, &mut self.store.clone())
    }

    fn round_with(&self, answer: impl Fn(&SyncRequest) -> SyncReply + Send) -> bool {
        self.keeper.round(&self.accounts, &mut Answers(answer))
    }

    fn entry(&self, tenant: &str) -> EntryRef {
        self.accounts.acquire(tenant).expect("there is room")
    }

    fn ask(&self, tenant: &str) {
        self.keeper.ask(&self.entry(tenant));
    }

    fn wait_for(&self, tenant: &str, bytes: u64) -> Arc<Waiter> {
        let waiter = self.keeper.wait_for(&self.accounts, &self.entry(tenant), bytes);
        waiter.expect("the store has to be asked")
    }

    /// Those for whom somebody waits, and others.
    fn queued(&self) -> (usize, usize) {
        let queue = lock(&self.keeper.queue);
        (queue.urgent.len(), queue.later.len())
    }

    fn spare(&self, tenant: &str) -> u64 {
        LEASED.saturating_sub(self.entry(tenant).balance.charged())
    }
}

/// A store that answers each request by itself.
struct Answers<F>(F);

impl<F: Fn(&SyncRequest) -> SyncReply + Send> LeaseStore for Answers<F> {
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        Ok(requests.iter().map(&self.0).collect())
    }

    fn set_limit(&mut self, _: &str, _: Option<Limit>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Began long ago: a sum that should be a difference would be waited for.
#[derive(Debug)]
struct Late(SystemClock);

impl Late {
    fn new() -> Self {
        Self(SystemClock::new())
    }
}

impl Clock for Late {
    fn now(&self) -> Duration {
        24 * HOUR + self.0.now()
    }
}

#[test]
fn whoever_is_told_to_stop_stops_and_nobody_waits_any_more() {
    let node = Node::new(Late::new(), |leasing| leasing);
    let waiter = node.wait_for("t", 5);
    node.keeper.stop();
    assert!(!node.keeper.wait_for_work());
    assert!(!node.keeper.wait_for_deadline());
    assert!(waiter.is_waiting());
    node.keeper.dismiss_waiters();
    assert_eq!(waiter.outcome().unwrap_err().kind(), DeniedKind::Unknown);
    let denied = node.keeper.wait_for(&node.accounts, &node.entry("t"), 5);
    assert_eq!(denied.unwrap_err().unwrap_err().kind(), DeniedKind::Unknown);
    assert!(node.keeper.set_limit("t", None).recv().is_err());
}

#[test]
fn without_anything_to_say_the_next_heartbeat_is_waited_for() {
    let mut node = Node::new(Late::new(), |leasing| leasing);
    let due = node.keeper.clock.now() + MOMENT;
    node.keeper.queue.get_mut().unwrap().next_heartbeat = due;
    assert!(node.keeper.wait_for_work());
    assert!(node.keeper.clock.now() >= due);
}

#[test]
fn what_is_to_be_said_is_said_at_once() {
    let node = Node::new(Late::new(), |leasing| leasing);
    let waiter = node.wait_for("t", 5);
    assert_eq!(node.queued(), (1, 0));
    assert!(node.keeper.wait_for_work() && node.round());
    assert_eq!(waiter.outcome(), Ok(()));
    node.ask("t");
    assert_eq!(node.queued(), (0, 1));
    assert!(node.keeper.wait_for_work() && node.round());
    node.keeper.beat_now();
    assert!(node.keeper.wait_for_work() && node.round());
    assert!(!node.round(), "all is said");
}

#[test]
fn after_a_failure_the_store_is_left_alone_for_a_while_except_by_hand() {
    let node = Node::new(Late::new(), |leasing| leasing);
    node.store.fail("no route");
    let _waiter = node.wait_for("t", 5);
    assert!(!node.round());
    let not_before = lock(&node.keeper.queue).not_before;
    assert!(not_before > node.keeper.clock.now() && node.keeper.wait_for_work());
    assert!(node.keeper.clock.now() >= not_before);

    lock(&node.keeper.queue).not_before = 48 * HOUR;
    node.store.recover();
    let outcome = node.keeper.set_limit("t", Some(Limit::bytes(7)));
    assert!(node.keeper.wait_for_work() && !node.round());
    assert!(outcome.recv().unwrap().is_ok());
}

#[test]
fn a_store_that_goes_on_failing_is_asked_less_and_less_often() {
    let clock = ManualClock::new();
    let node = Node::new(clock.clone(), |leasing| leasing);
    node.store.fail("no route");
    node.ask("t");
    for pause in [50, 100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
        assert!(!node.round());
        let calls = node.store.calls();
        clock.advance(pause - Duration::from_nanos(1));
        assert!(!node.round() && node.store.calls() == calls, "{pause:?}");
        clock.advance(Duration::from_nanos(1));
    }
    node.store.recover();
    assert!(node.round());
    assert_eq!(lock(&node.keeper.queue).backoff, Duration::ZERO);
}

#[test]
fn a_tenant_stands_in_a_queue_once_and_in_the_first_where_somebody_waits() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    node.ask("a");
    node.ask("a");
    assert_eq!(node.queued(), (0, 1));
    node.wait_for("a", 5);
    assert_eq!(node.queued(), (1, 1));
    node.wait_for("a", 5);
    node.ask("a");
    assert_eq!(node.queued(), (1, 1));
}

#[test]
fn what_was_not_said_or_not_heard_stands_there_again() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    for is_heard in [false, true] {
        let again = |expected| {
            lock(&node.keeper.queue).not_before = Duration::ZERO;
            if is_heard {
                assert!(node.round_with(|_| SyncReply::Stale));
            } else {
                assert!(!node.round());
            }
            assert_eq!(node.queued(), expected, "{is_heard}");
        };
        node.store.fail("no route");
        node.ask("t");
        again((0, 1));
        let waiter = node.wait_for("t", 5);
        // It is asked for once, and stands in front from now on.
        again((1, 0));
        again((1, 0));
        node.store.recover();
        lock(&node.keeper.queue).not_before = Duration::ZERO;
        assert!(node.round());
        assert_eq!(waiter.outcome(), Ok(()));
        assert_eq!(node.queued(), (0, 0));
        node.keeper.close(&node.accounts, &mut node.store.clone());
    }
}

#[test]
fn one_call_is_for_256_tenants_and_first_for_those_who_wait() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    node.store.keep_requests();
    let told = || std::iter::from_fn(|| node.store.take_request()).map(|request| request.tenant.to_string());
    for number in 0..300 {
        node.ask(&format!("asks {number}"));
    }
    let waiting: Vec<_> = (0..100)
        .map(|number| node.wait_for(&format!("waits {number}"), 1))
        .collect();
    assert!(node.round());
    let first: Vec<_> = told().collect();
    assert_eq!(first.len(), 256);
    assert!(first[..100].iter().all(|tenant| tenant.starts_with("waits")));
    assert!(waiting.iter().all(|waiter| waiter.outcome() == Ok(())));
    assert!(node.round());
    assert_eq!(told().count(), 300 - 156);
    assert!(!node.round());
}

#[test]
fn at_the_end_everything_goes_back_and_nothing_is_kept() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    let tenants: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    for tenant in &tenants {
        node.ask(tenant);
    }
    while node.round() {}
    let held = || {
        let records = tenants.iter().filter_map(|tenant| node.store.record(tenant));
        records.map(|record| record.nodes["n"].hold).sum::<u64>()
    };
    assert_eq!(held(), 300 * 640);
    assert_eq!(node.keeper.hold(&node.entry("0")), 640);
    node.keeper.close(&node.accounts, &mut node.store.clone());
    assert_eq!((held(), node.accounts.table.tracked()), (0, 0));
}

#[test]
fn a_store_that_has_failed_is_not_bothered_with_the_rest_of_a_farewell() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    for number in 0..300 {
        node.ask(&number.to_string());
    }
    while node.round() {}
    node.store.fail("no route");
    let calls = node.store.calls();
    node.keeper.close(&node.accounts, &mut node.store.clone());
    assert_eq!(node.store.calls(), calls + 1);
}

#[test]
fn a_lease_is_given_back_although_the_store_failed() {
    for closes in [false, true] {
        let clock = ManualClock::new();
        let node = Node::new(clock.clone(), |leasing| leasing);
        node.ask("t");
        assert!(node.round());
        let held = || node.store.record("t").map(|record| record.nodes["n"].hold);
        assert_eq!(held(), Some(640));
        node.store.fail("no route");
        for _ in 0..4 {
            clock.advance(HOUR / 4);
            assert!(!node.round());
        }
        node.store.recover();
        if closes {
            node.keeper.close(&node.accounts, &mut node.store.clone());
        } else {
            clock.advance(HOUR / 4);
            while node.round() {}
        }
        assert_eq!(held(), Some(0), "{closes}");
    }
}

#[test]
fn heartbeats_do_not_pile_up_while_the_store_fails() {
    let clock = ManualClock::new();
    let node = Node::new(clock.clone(), |leasing| leasing);
    for number in 0..300 {
        node.ask(&number.to_string());
    }
    while node.round() {}
    node.store.fail("no route");
    for _ in 0..50 {
        clock.advance(HOUR / 4);
        assert!(!node.round());
        assert!(node.queued().1 <= 2 * 300, "{:?}", node.queued());
    }
    node.store.recover();
    clock.advance(HOUR / 4);
    node.store.keep_requests();
    while node.round() {}
    let told: HashSet<_> = std::iter::from_fn(|| node.store.take_request())
        .map(|request| request.tenant)
        .collect();
    assert_eq!(told.len(), 300, "nobody is left out");
}

#[test]
fn what_cannot_be_read_is_not_waited_for() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    let waiter = node.wait_for("t", 5);
    assert!(node.round_with(|_| SyncReply::Failed {
        kind: StoreErrorKind::Corrupt,
        reason: "a page".into(),
    }));
    assert_eq!(waiter.outcome().unwrap_err().kind(), DeniedKind::Unknown);
    assert_eq!(node.queued(), (0, 0));
}

#[test]
fn whoever_lost_his_name_says_nothing_more() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    node.ask("t");
    assert!(node.round() && node.spare("t") == 640);
    node.ask("t");
    assert!(node.round_with(|_| SyncReply::Superseded));
    assert_eq!(node.spare("t"), 0);
    let calls = node.store.calls();
    node.ask("t");
    node.ask("new");
    assert!(!node.round() && node.store.calls() == calls);
}

#[test]
fn more_is_asked_for_when_a_charge_goes_beyond_the_mark() {
    let node = Node::new(ManualClock::new(), |leasing| leasing);
    node.ask("t");
    assert!(node.round());
    let entry = node.entry("t");
    let mark = LEASED - 320;
    node.keeper.note_charge(&entry, mark);
    assert_eq!(node.queued(), (0, 0));
    node.keeper.note_charge(&entry, mark + 2);
    assert_eq!(node.queued(), (0, 1));
}

#[test]
fn ends_are_told_at_once_where_others_wait_for_each_byte() {
    let tells = |chunk, is_shared| {
        let mut node = Node::new(ManualClock::new(), |leasing| leasing.chunk(chunk));
        node.keeper.settings.is_shared = is_shared;
        node.keeper.tells_ends()
    };
    assert!(tells(0, true));
    assert!(!tells(0, false) && !tells(1, true));
}

#[test]
fn time_is_up_at_the_deadline_itself() {
    let clock = ManualClock::new();
    let node = Node::new(clock.clone(), |leasing| leasing.wait_at_most(MOMENT));
    let waiter = node.wait_for("t", 5);
    clock.advance(MOMENT - Duration::from_nanos(1));
    node.keeper.expire(&node.accounts);
    assert!(waiter.is_waiting());
    clock.advance(Duration::from_nanos(1));
    assert!(node.keeper.wait_for_deadline());
    node.keeper.expire(&node.accounts);
    assert_eq!(waiter.outcome().unwrap_err().kind(), DeniedKind::Unknown);
}

#[test]
fn the_first_deadline_is_waited_for() {
    let node = Node::new(Late::new(), |leasing| leasing.wait_at_most(MOMENT));
    let waiter = node.wait_for("t", 5);
    let due = lock(&node.keeper.deadlines).front().map(|deadline| deadline.at);
    assert!(node.keeper.wait_for_deadline());
    assert!(Some(node.keeper.clock.now()) >= due);
    node.keeper.expire(&node.accounts);
    assert_eq!(waiter.outcome().unwrap_err().kind(), DeniedKind::Unknown);
}

#[test]
fn leases_that_may_end_are_looked_at_although_nobody_waits() {
    let node = Node::new(Late::new(), |leasing| leasing.reap_after(HOUR));
    assert!(node.keeper.wait_for_deadline());
}

/// A clock that says when it is looked at.
#[derive(Debug)]
struct Watched(SystemClock, mpsc::Sender<()>);

impl Clock for Watched {
    fn now(&self) -> Duration {
        // The last look is at nobody's.
        let _ = self.1.send(());
        self.0.now()
    }
}

#[test]
fn whoever_looks_at_deadlines_is_told_of_the_first() {
    let (looks, looked) = mpsc::channel();
    let node = Node::new(Watched(SystemClock::new(), looks), |leasing| {
        leasing.wait_at_most(MOMENT)
    });
    let node = Arc::new(node);
    while looked.try_recv().is_ok() {}
    let waiting = {
        let node = node.clone();
        thread::spawn(move || {
            assert!(node.keeper.wait_for_deadline());
            node.keeper.expire(&node.accounts);
        })
    };
    // It has the lock since before it looked, and gives it back when it waits.
    looked.recv().unwrap();
    let waiter = node.wait_for("t", 5);
    waiting.join().unwrap();
    assert_eq!(waiter.outcome().unwrap_err().kind(), DeniedKind::Unknown);
}

#[test]
fn what_a_policy_grants_is_charged_once() {
    let clock = ManualClock::new();
    let node = Node::new(clock.clone(), |leasing| leasing.on_unreachable(Unreachable::FailOpen));
    node.store.fail("no route");
    let (stays, leaves) = (node.wait_for("t", 5), node.wait_for("t", 7));
    assert!(!node.round());
    leaves.abandon();
    clock.advance(HOUR);
    node.keeper.expire(&node.accounts);
    assert_eq!(stays.outcome(), Ok(()));
    assert_eq!(node.entry("t").balance.charged(), LEASED + 5);
}

#[test]
fn a_lease_that_nobody_else_may_have_does_not_end() {
    for (reap_after, spare) in [(None, 640), (Some(HOUR), 0)] {
        let clock = ManualClock::new();
        let mut node = Node::new(clock.clone(), |leasing| leasing);
        node.keeper.settings.reap_after = reap_after;
        node.ask("t");
        assert!(node.round());
        node.store.fail("no route");
        node.ask("t");
        clock.advance(HOUR * 4 / 5 - Duration::from_nanos(1));
        assert!(!node.round());
        node.keeper.expire(&node.accounts);
        assert_eq!(node.spare("t"), 640);
        clock.advance(Duration::from_nanos(1));
        node.keeper.expire(&node.accounts);
        assert_eq!(node.spare("t"), spare, "{reap_after:?}");
    }
}
