use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

use crate::{
    Event, Observer, Reason, Refusal, State,
    background::{Periodic, every},
};

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
    lines: Arc<Lines>,
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
        let observer = Self::without_thread();
        every(Duration::from_secs(1), &observer.lines);
        observer
    }

    fn without_thread() -> Self {
        let lines = Arc::new(Lines {
            seconds: AtomicU32::new(0),
            refusals_left: AtomicU32::new(LINES),
            refusals_left_out: Default::default(),
            tenants_left: AtomicU32::new(LINES),
            tenants_left_out: AtomicU64::new(0),
        });
        Self { lines }
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
            Event::LedgerUnreachable { ledger, error, .. } => {
                tracing::error!(target: TARGET, ledger, error, "the engine of a ledger does not answer");
            }
            Event::LedgerRecovered { ledger, .. } => {
                tracing::info!(target: TARGET, ledger, "the engine of a ledger answers again");
            }
            Event::NodeSuperseded { ledger, node, .. } => {
                tracing::error!(target: TARGET, ledger, node, "another process goes by this node's name");
            }
            Event::LimitsReloaded { ledger, tenants, .. } => {
                tracing::info!(target: TARGET, ledger, tenants, "the file of limits says others");
            }
            Event::LimitsRejected { ledger, error, .. } => {
                let cause = error.source().map(tracing::field::display);
                tracing::error!(target: TARGET, ledger, %error, cause, "the limits stay as they are");
            }
            // These come once for every tenant, and an engine that lost its data has lost them all.
            Event::RecordLost { ledger, tenant, .. } => {
                if self.lines.for_tenant() {
                    tracing::error!(target: TARGET, ledger, tenant, "the engine has lost a tenant's record");
                }
            }
            Event::UsageUnknown {
                ledger, tenant, error, ..
            } => {
                if self.lines.for_tenant() {
                    tracing::error!(target: TARGET, ledger, tenant, %error, "what a tenant has stored is unknown");
                }
            }
            Event::Refused { refusal, enforced, .. } => self.lines.for_refusal(refusal, enforced),
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

/// How many lines are left of the current ten seconds, and what had none.
struct Lines {
    seconds: AtomicU32,
    refusals_left: AtomicU32,
    refusals_left_out: [AtomicU64; Reason::ALL.len()],
    tenants_left: AtomicU32,
    tenants_left_out: AtomicU64,
}

impl Lines {
    /// Runs on the request's own thread, so it looks at no clock: the lines come back by the second.
    fn for_refusal(&self, refusal: &Refusal, enforced: bool) {
        if take(&self.refusals_left) {
            return tell(refusal, enforced);
        }
        for (reason, count) in Reason::ALL.iter().zip(&self.refusals_left_out) {
            if *reason == refusal.reason() {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    fn for_tenant(&self) -> bool {
        let is_left = take(&self.tenants_left);
        if !is_left {
            self.tenants_left_out.fetch_add(1, Relaxed);
        }
        is_left
    }

    fn tell_left_out(&self) {
        let tenants = self.tenants_left_out.swap(0, AcqRel);
        if tenants > 0 {
            tracing::error!(target: TARGET, tenants, "more about tenants was left out above");
        }
        let counts = self.refusals_left_out.each_ref().map(|count| count.swap(0, AcqRel));
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
        let by_reason = by_reason.join(", ");
        tracing::warn!(target: TARGET, refusals, by_reason, "more refusals, left out above");
    }
}

impl Periodic for Lines {
    fn tick(&self) {
        if self.seconds.fetch_add(1, Relaxed) + 1 >= SECONDS {
            self.seconds.store(0, Relaxed);
            self.tell_left_out();
            self.refusals_left.store(LINES, Relaxed);
            self.tenants_left.store(LINES, Relaxed);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.tell_left_out();
    }
}

/// Takes one, if there is one left.
fn take(left: &AtomicU32) -> bool {
    let mut now = left.load(Relaxed);
    while now > 0 {
        match left.compare_exchange_weak(now, now - 1, AcqRel, Relaxed) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use tracing_subscriber::util::SubscriberInitExt;

    use super::*;

    /// Ten thousand refusals a second for a hundred seconds, and twenty seconds of peace.
    #[test]
    fn a_flood_writes_six_lines_in_ten_seconds() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = written.clone();
        let _listening = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Sink(sink.clone()))
            .set_default();
        let observer = TracingObserver::without_thread();
        let refusal = Refusal::new(Reason::Space);
        for second in 0..120 {
            for _ in 0..if second < 100 { 10_000 } else { 0 } {
                observer.observe(&Event::Refused {
                    refusal: &refusal,
                    enforced: true,
                });
            }
            observer.lines.tick();
        }
        let text = String::from_utf8(written.lock().expect("sound").clone()).expect("UTF-8");
        let (summaries, single): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains("left out"));
        assert_eq!((single.len(), summaries.len()), (50, 10));
        let left_out: usize = summaries
            .iter()
            .map(|line| {
                let (_, rest) = line.split_once("refusals=").expect("a count");
                let (count, _) = rest.split_once(' ').expect("more follows");
                count.parse::<usize>().expect("a number")
            })
            .sum();
        assert_eq!(single.len() + left_out, 1_000_000, "none gets lost");
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("sound").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
