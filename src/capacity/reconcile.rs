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
    waiting: VecDeque<Entry>,
    /// The sum of what waits.
    unseen: u64,
}

/// Bytes that return together. Entries are tumbling windows: an entry that accepted bytes for as long as they keep
/// coming would never be old enough.
#[derive(Debug)]
struct Entry {
    /// When the first of its bytes were taken.
    first: Duration,
    /// When the last of its bytes were taken, hence at the latest closed.
    last: Duration,
    bytes: u64,
}

/// An entry accepts bytes for this part of the delay.
const GRAIN: u32 = 64;
/// Twice what a steady delay needs. Only a probe that fails or hangs, or a delay that jumps, fills the queue.
const MAX_ENTRIES: usize = 2 * GRAIN as usize;

impl Reconciler {
    /// Opens the account with its first reading less the floor.
    pub(crate) fn open(account: &Account, limit: i64) -> Self {
        account.adjust(limit - account.headroom());
        Self {
            limit,
            waiting: VecDeque::new(),
            unseen: 0,
        }
    }

    /// To be called right before the probe measures. `delay` is how long before that bytes must be closed to show in the
    /// reading: its age and lag.
    pub(crate) fn before_measuring(&mut self, account: &Account, now: Duration, delay: Duration) {
        let bytes = account.take_closed();
        if bytes == 0 {
            return;
        }
        self.unseen = self.unseen.saturating_add(bytes);
        match self.waiting.back_mut() {
            Some(entry) if now <= entry.first + delay / GRAIN => {
                entry.last = now;
                entry.bytes = entry.bytes.saturating_add(bytes);
                return;
            }
            _ => self.waiting.push_back(Entry {
                first: now,
                last: now,
                bytes,
            }),
        }
        if self.waiting.len() > MAX_ENTRIES {
            // The oldest are the first that a reading gives back, so nothing is lost by giving them back together.
            let oldest = self.waiting.pop_front().map_or(0, |entry| entry.bytes);
            if let Some(entry) = self.waiting.front_mut() {
                entry.bytes = entry.bytes.saturating_add(oldest);
            }
        }
    }

    /// To be called with what the probe saw: `limit` is the reading less the floor, `shows_until` the time up to which
    /// everything that was closed shows in it (the start of the measurement, less its age and lag). Returns what was
    /// given back.
    pub(crate) fn after_measuring(&mut self, account: &Account, limit: i64, shows_until: Option<Duration>) -> u64 {
        let mut seen = 0_u64;
        if let Some(shows_until) = shows_until {
            while let Some(entry) = self.waiting.front().filter(|entry| entry.last <= shows_until) {
                seen = seen.saturating_add(entry.bytes);
                self.waiting.pop_front();
            }
        }
        self.unseen = self.unseen.saturating_sub(seen);
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
        self.unseen
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

    /// A million bytes a second, in four pieces, each taken by a sample of its own. Returns what stays unseen.
    fn steady(delay: Duration, readings: impl Fn(Duration) -> bool) -> (u64, usize) {
        let account = Account::new(0);
        let mut reconciler = Reconciler::open(&account, 1 << 40);
        for quarter in 1..=4 * 600 {
            assert!(account.try_reserve(250_000));
            account.close(250_000);
            let now = quarter * SECOND / 4;
            reconciler.before_measuring(&account, now, delay);
            assert!(reconciler.waiting.len() <= MAX_ENTRIES, "{now:?}");
            if readings(now) {
                reconciler.after_measuring(&account, 1 << 40, now.checked_sub(delay));
            }
            let taken: u64 = reconciler.waiting.iter().map(|entry| entry.bytes).sum();
            assert_eq!(reconciler.unseen(), taken);
        }
        (reconciler.unseen(), reconciler.waiting.len())
    }

    #[test]
    fn steady_traffic_is_unseen_for_the_delay_alone() {
        for seconds in [4, 30, 120] {
            let (unseen, entries) = steady(seconds * SECOND, |_| true);
            let expected = u64::from(seconds) * 1_000_000;
            assert!((expected..=expected * 26 / 25).contains(&unseen), "{seconds}: {unseen}");
            assert!(entries <= GRAIN as usize + 2, "{entries}");
        }
    }

    #[test]
    fn the_queue_is_bounded_without_readings() {
        for seconds in [0, 1, 30] {
            let (unseen, entries) = steady(seconds * SECOND, |_| false);
            assert_eq!((unseen, entries), (600_000_000, MAX_ENTRIES), "nothing was given back");
            // The first reading after ten minutes gives back all that can show in it.
            let (unseen, _) = steady(seconds * SECOND, |now| now == 600 * SECOND);
            let expected = u64::from(seconds) * 1_000_000;
            assert!((expected..=expected * 26 / 25).contains(&unseen), "{seconds}: {unseen}");
        }
    }
}
