use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use crate::tenant::StoreError;

/// How the store answers.
#[derive(Debug, Default)]
pub(in crate::tenant) struct Health {
    is_unreachable: AtomicBool,
    calls: AtomicU64,
    failures: AtomicU64,
    /// Of the last call, in nanoseconds.
    latency: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calling_since: Option<Duration>,
    failing_since: Option<Duration>,
    last_success: Duration,
    error: Option<String>,
}

impl Health {
    /// The store has not answered for as long as anybody waits. Requests do not wait for it then.
    #[inline]
    pub(in crate::tenant) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Acquire)
    }

    pub(super) fn call_begins(&self, now: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.lock().calling_since = Some(now);
    }

    /// Tells whether it had been out of reach.
    pub(super) fn call_succeeds(&self, now: Duration) -> bool {
        let mut state = self.lock();
        if let Some(since) = state.calling_since.take() {
            self.latency.store(now.saturating_sub(since).as_nanos() as u64, Relaxed);
        }
        state.failing_since = None;
        state.last_success = now;
        state.error = None;
        self.is_unreachable.swap(false, Release)
    }

    pub(super) fn call_fails(&self, now: Duration, error: &StoreError) {
        self.failures.fetch_add(1, Relaxed);
        let mut state = self.lock();
        let began = state.calling_since.take().unwrap_or(now);
        state.failing_since.get_or_insert(began);
        state.error = Some(describe(error));
    }

    /// Somebody has waited for too long. Tells the last error if the store is to blame and was not known to be out of
    /// reach.
    pub(super) fn find_unreachable(&self, now: Duration, patience: Duration) -> Option<String> {
        let state = self.lock();
        let since = state.failing_since.or(state.calling_since)?;
        let is_news = now.saturating_sub(since) >= patience && !self.is_unreachable.swap(true, Release);
        is_news.then(|| state.error.clone().unwrap_or_else(|| "it does not answer".to_owned()))
    }

    /// For how long no call has succeeded, if calls fail or hang.
    pub(super) fn troubled_for(&self, now: Duration) -> Option<Duration> {
        let state = self.lock();
        state.failing_since.or(state.calling_since)?;
        Some(now.saturating_sub(state.last_success))
    }

    pub(in crate::tenant) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    pub(in crate::tenant) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    pub(in crate::tenant) fn latency(&self) -> Duration {
        Duration::from_nanos(self.latency.load(Relaxed))
    }

    pub(in crate::tenant) fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::StoreErrorKind;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Duration {
        SECOND * seconds
    }

    fn failure() -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, "gone").with_source("no route")
    }

    #[test]
    fn calls_are_counted_and_the_last_good_one_is_timed() {
        let health = Health::default();
        health.call_begins(at(1));
        health.call_succeeds(at(3));
        assert_eq!((health.calls(), health.failures()), (1, 0));
        assert_eq!((health.latency(), health.error()), (at(2), None));
        health.call_begins(at(4));
        health.call_fails(at(5), &failure());
        health.call_begins(at(6));
        health.call_fails(at(9), &failure());
        assert_eq!((health.calls(), health.failures()), (3, 2));
        assert_eq!(health.latency(), at(2));
        let error = health.error().unwrap();
        assert!(error.contains("gone") && error.ends_with(": no route"), "{error}");
        health.call_begins(at(10));
        health.call_succeeds(at(10));
        assert_eq!((health.latency(), health.error()), (Duration::ZERO, None));
    }

    #[test]
    fn it_is_out_of_reach_once_somebody_waited_for_too_long_and_that_is_told_once() {
        let health = Health::default();
        assert_eq!(health.find_unreachable(at(100), SECOND), None);
        health.call_begins(at(10));
        assert_eq!(health.find_unreachable(at(10), SECOND), None);
        assert!(!health.is_unreachable());
        let silent = health.find_unreachable(at(11), SECOND);
        assert_eq!(silent.as_deref(), Some("it does not answer"));
        assert!(health.is_unreachable());
        assert_eq!(health.find_unreachable(at(12), SECOND), None);
        assert!(health.call_succeeds(at(13)));
        assert!(!health.is_unreachable());
        health.call_begins(at(14));
        assert!(!health.call_succeeds(at(15)));
    }

    #[test]
    fn failures_in_a_row_count_from_the_first() {
        let health = Health::default();
        health.call_begins(at(1));
        health.call_succeeds(at(2));
        assert_eq!(health.troubled_for(at(9)), None);
        for start in [3, 5] {
            health.call_begins(at(start));
            health.call_fails(at(start + 1), &failure());
        }
        assert_eq!(health.troubled_for(at(9)), Some(at(7)));
        assert_eq!(health.find_unreachable(at(9), at(7)), None);
        let error = health.find_unreachable(at(9), at(6)).unwrap();
        assert!(error.contains("gone"), "{error}");
    }
}
