use std::{collections::VecDeque, time::Duration};

use super::Account;

/// Brings an account in line with what the probe sees. One lives with each sampler.
///
/// The order is the whole point: what was closed is taken *before* the measurement starts, so that the reading shows
/// those bytes as used by the time they are given back. Taken afterwards, bytes that were written during the measurement
/// would count as neither reserved nor used.
#[derive(Debug)]
pub(crate) struct Reconciler {
    limit: i64,
    /// Closed bytes whose writes may not show yet, oldest first.
    waiting: VecDeque<Closed>,
}

#[derive(Debug)]
struct Closed {
    /// When they were taken, hence at the latest closed.
    at: Duration,
    bytes: u64,
}

/// Closed bytes that wait are put together within this part of the lag, so that the queue stays short.
const GRAIN: u32 = 64;

impl Reconciler {
    /// Opens the account with its first reading less the floor.
    pub(crate) fn open(account: &Account, limit: i64) -> Self {
        account.adjust(limit - account.headroom());
        Self {
            limit,
            waiting: VecDeque::new(),
        }
    }

    /// To be called right before the probe measures. `lag` is how late a write may show.
    pub(crate) fn before_measuring(&mut self, account: &Account, now: Duration, lag: Duration) {
        let bytes = account.take_closed();
        if bytes == 0 {
            return;
        }
        match self.waiting.back_mut() {
            Some(last) if last.at + lag / GRAIN >= now => {
                // Later than some of them closed: they wait a little longer than they must.
                last.at = now;
                last.bytes = last.bytes.saturating_add(bytes);
            }
            _ => self.waiting.push_back(Closed { at: now, bytes }),
        }
    }

    /// To be called with what the probe saw: `limit` is the reading less the floor, `shows_until` the time up to which
    /// everything that was closed shows in it (the start of the measurement, less its age and lag). Returns what was
    /// given back.
    pub(crate) fn after_measuring(&mut self, account: &Account, limit: i64, shows_until: Option<Duration>) -> u64 {
        let mut seen = 0_u64;
        if let Some(shows_until) = shows_until {
            while let Some(closed) = self.waiting.front().filter(|closed| closed.at <= shows_until) {
                seen = seen.saturating_add(closed.bytes);
                self.waiting.pop_front();
            }
        }
        account.adjust((limit - self.limit).saturating_add_unsigned(seen));
        self.limit = limit;
        seen
    }

    /// Somebody else has moved the account's limit by so much since the last reading, because the floor changed.
    pub(crate) fn limit_moved(&mut self, by: i64) {
        self.limit = self.limit.saturating_add(by);
    }

    /// The last reading less the floor.
    pub(crate) fn limit(&self) -> i64 {
        self.limit
    }

    /// Closed bytes that were taken and have not shown yet.
    pub(crate) fn unseen(&self) -> u64 {
        self.waiting
            .iter()
            .fold(0, |sum, closed| sum.saturating_add(closed.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn opens_an_account_with_what_there_is_whatever_it_had() {
        let account = Account::new(40);
        assert_eq!(Reconciler::open(&account, 1000).limit(), 1000);
        assert_eq!(account.headroom(), 1000);
    }

    #[test]
    fn what_closed_well_before_does_not_wait_for_what_closed_later() {
        let account = Account::new(0);
        let mut reconciler = Reconciler::open(&account, 1000);
        assert!(account.try_reserve(300));
        account.close(100);
        reconciler.before_measuring(&account, SECOND, SECOND);
        account.close(200);
        reconciler.before_measuring(&account, 3 * SECOND, SECOND);
        assert_eq!(reconciler.unseen(), 300);
        assert_eq!(reconciler.after_measuring(&account, 900, Some(2 * SECOND)), 100);
        assert_eq!((reconciler.unseen(), account.headroom()), (200, 700));
        reconciler.limit_moved(-50);
        assert_eq!(reconciler.limit(), 850);
        assert_eq!(reconciler.after_measuring(&account, 850, Some(3 * SECOND)), 200);
        assert_eq!((reconciler.unseen(), account.headroom()), (0, 900));
    }

    #[test]
    fn gives_back_what_closed_before_the_measurement_only() {
        let account = Account::new(0);
        let mut reconciler = Reconciler::open(&account, 1000);
        assert!(account.try_reserve(300));
        account.close(100);
        reconciler.before_measuring(&account, SECOND, Duration::ZERO);
        account.close(200); // while the probe measures
        assert_eq!(reconciler.after_measuring(&account, 900, Some(SECOND)), 100);
        assert_eq!(account.headroom(), 900 - 200);
        reconciler.before_measuring(&account, 2 * SECOND, Duration::ZERO);
        assert_eq!(reconciler.after_measuring(&account, 700, Some(2 * SECOND)), 200);
        assert_eq!(account.headroom(), 700);
    }

    #[test]
    fn a_failed_measurement_loses_nothing() {
        let account = Account::new(0);
        let mut reconciler = Reconciler::open(&account, 1000);
        assert!(account.try_reserve(300));
        account.close(300);
        reconciler.before_measuring(&account, SECOND, Duration::ZERO);
        // No reading came.
        reconciler.before_measuring(&account, 2 * SECOND, Duration::ZERO);
        assert_eq!(account.headroom(), 700);
        assert_eq!(reconciler.after_measuring(&account, 700, Some(2 * SECOND)), 300);
        assert_eq!(account.headroom(), 700);
    }

    #[test]
    fn late_writes_stay_held_until_they_can_show() {
        let account = Account::new(0);
        let lag = 30 * SECOND;
        let mut reconciler = Reconciler::open(&account, 1000);
        assert!(account.try_reserve(100));
        account.close(100);
        for second in 1..60 {
            let now = second * SECOND;
            reconciler.before_measuring(&account, now, lag);
            reconciler.after_measuring(&account, 1000, now.checked_sub(lag));
            let expected = if second < 31 { 900 } else { 1000 };
            assert_eq!(account.headroom(), expected, "second {second}");
        }
    }

    #[test]
    fn the_queue_stays_short() {
        let account = Account::new(0);
        let lag = 3600 * SECOND;
        let mut reconciler = Reconciler::open(&account, 1 << 40);
        for tick in 0..1_000_000_u32 {
            assert!(account.try_reserve(1));
            account.close(1);
            let now = tick * Duration::from_millis(10);
            reconciler.before_measuring(&account, now, lag);
            reconciler.after_measuring(&account, 1 << 40, now.checked_sub(lag));
        }
        assert!(
            reconciler.waiting.len() < 3 * GRAIN as usize,
            "{}",
            reconciler.waiting.len()
        );
        assert!(account.headroom() < 1 << 40);
    }
}
