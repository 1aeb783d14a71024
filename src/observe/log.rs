use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
};

use super::ticker::{Ticked, every_second};
use crate::{Event, Observer, Reason, Refusal, State};

/// Tells [`tracing`] of events: one line at each change of state and each change of a probe's health. Of refusals at most
/// five in ten seconds have a line of their own, and one more line says how many were left out, by reason; so a flood of
/// refusals does not become a flood of logs. Admitted requests have none.
///
/// The target is `tower_storage_guard`. Give clones of one to all layers and resources: they share the five.
///
/// ```
/// use tower_storage_guard::{Resource, StorageGuardLayer, TracingObserver};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let log = TracingObserver::new();
/// let disk = Resource::disk(path).observer(log.clone()).build()?;
/// let guard = StorageGuardLayer::builder().resource(disk).observer(log).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TracingObserver {
    refusals: Arc<Refusals>,
}

/// The target of all events, for filters.
const TARGET: &str = "tower_storage_guard";
/// So many refusals have a line of their own …
const LINES: u32 = 5;
/// … in so many seconds.
const SECONDS: u32 = 10;

impl TracingObserver {
    /// One that writes to the current subscriber.
    #[must_use]
    pub fn new() -> Self {
        let refusals = Arc::new(Refusals {
            lines_left: AtomicU32::new(LINES),
            seconds: AtomicU32::new(0),
            left_out: Default::default(),
        });
        let weak = Arc::downgrade(&refusals);
        every_second(weak);
        Self { refusals }
    }
}

impl Default for TracingObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for TracingObserver {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::StateChanged {
                resource,
                from,
                to,
                available,
                floor,
                ..
            } => {
                let (from, now) = (from.name(), to.name());
                if to == State::Ok {
                    tracing::info!(target: TARGET, resource, from, to = now, available, floor, "there is room again");
                } else {
                    tracing::warn!(target: TARGET, resource, from, to = now, available, floor, "the state changed");
                }
            }
            Event::ProbeFailed { resource, error, .. } => {
                let cause = error.source().map(tracing::field::display);
                tracing::error!(target: TARGET, resource, %error, cause, "a measurement failed");
            }
            Event::ProbeSilent { resource, age, .. } => {
                tracing::error!(target: TARGET, resource, age_seconds = age.as_secs_f64(), "no measurement came");
            }
            Event::ProbeRecovered { resource, .. } => {
                tracing::info!(target: TARGET, resource, "measurements come again")
            }
            Event::WritesUnseen {
                resource, closed, seen, ..
            } => {
                tracing::warn!(target: TARGET, resource,
                    closed,
                    seen,
                    "bytes that should be written do not show in the readings"
                );
            }
            Event::Refused { refusal, enforced, .. } => self.refusals.take_in(refusal, enforced),
            #[allow(unreachable_patterns, reason = "events that come later")]
            ref other => tracing::warn!(target: TARGET, event = ?other, "something happened"),
        }
    }
}

impl fmt::Debug for TracingObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingObserver").finish_non_exhaustive()
    }
}

struct Refusals {
    lines_left: AtomicU32,
    seconds: AtomicU32,
    left_out: [AtomicU64; Reason::ALL.len()],
}

impl Refusals {
    /// Runs on the request's own thread, so it looks at no clock: the lines come back by the second.
    fn take_in(&self, refusal: &Refusal, enforced: bool) {
        let mut left = self.lines_left.load(Relaxed);
        while left > 0 {
            match self.lines_left.compare_exchange_weak(left, left - 1, AcqRel, Relaxed) {
                Ok(_) => return tell(refusal, enforced),
                Err(now) => left = now,
            }
        }
        for (reason, count) in Reason::ALL.iter().zip(&self.left_out) {
            if *reason == refusal.reason() {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    fn tell_left_out(&self) {
        let counts = self.left_out.each_ref().map(|count| count.swap(0, AcqRel));
        let refusals: u64 = counts.iter().sum();
        if refusals == 0 {
            return;
        }
        let by_reason: Vec<_> = Reason::ALL
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        tracing::warn!(target: TARGET, refusals,
            by_reason = by_reason.join(", "),
            "more refusals, left out above"
        );
    }
}

impl Ticked for Refusals {
    fn tick(&self) {
        if self.seconds.fetch_add(1, Relaxed) + 1 >= SECONDS {
            self.seconds.store(0, Relaxed);
            self.tell_left_out();
            self.lines_left.store(LINES, Relaxed);
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.tell_left_out();
    }
}

fn tell(refusal: &Refusal, enforced: bool) {
    let message = if enforced { "refused" } else { "would have been refused" };
    tracing::warn!(target: TARGET, reason = refusal.reason().name(),
        resource = refusal.resource(),
        requested = refusal.requested(),
        limit = refusal.limit(),
        mid_stream = refusal.is_mid_stream(),
        enforced,
        "{message}"
    );
}
