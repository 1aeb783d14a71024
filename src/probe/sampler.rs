use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
        mpsc,
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{CapacityProbe, ProbeError};
use crate::{capacity::Reading, sync::lock};

/// One thread that measures one resource: when it is built, then at the pace its sink sets, and sooner when a measurement
/// is requested. It ends when this handle is dropped, after the measurement that is under way.
#[derive(Debug)]
pub(crate) struct Sampler {
    signal: Arc<Signal>,
}

/// What takes the readings in.
pub(crate) trait Sink: Send {
    /// A measurement is about to begin.
    fn before(&mut self);
    /// It is done. Returns how long to wait for the next one.
    fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration;
    /// The least time between two measurements, however often requests ask for one.
    fn min_rest(&self) -> Duration;
}

impl Sampler {
    /// Starts the thread, waits for the first reading (no longer than `limit`), and hands it to `open`, whose sink takes
    /// all further ones.
    ///
    /// # Errors
    ///
    /// What the probe says of its first measurement, or that it took too long; the thread then ends by itself.
    pub(crate) fn start<S: Sink + 'static>(
        name: &str,
        mut probe: Box<dyn CapacityProbe>,
        limit: Duration,
        signal: Arc<Signal>,
        open: impl FnOnce(Reading) -> S,
    ) -> Result<Self, ProbeError> {
        let (first_in, first_out) = mpsc::sync_channel(1);
        let (sink_in, sink_out) = mpsc::sync_channel::<S>(1);
        let handle = Self { signal: signal.clone() };
        thread::Builder::new()
            // A name with a NUL byte would panic.
            .name(format!("guard-{}", name.replace('\0', "")))
            .spawn(move || {
                let _ = signal.thread.set(thread::current());
                if first_in.send(measure(&mut *probe)).is_err() {
                    return;
                }
                if let Ok(mut sink) = sink_out.recv() {
                    run(&mut *probe, &mut sink, &signal);
                }
            })
            .map_err(ProbeError::custom)?;
        let first = first_out
            .recv_timeout(limit)
            .map_err(|_| ProbeError::timed_out(limit))??;
        // The thread waits for its sink, so this cannot fail.
        let _ = sink_in.send(open(first));
        Ok(handle)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.signal.stopped.store(true, Release);
        self.signal.wake();
    }
}

fn run(probe: &mut dyn CapacityProbe, sink: &mut dyn Sink, signal: &Signal) {
    let mut rest = sink.min_rest();
    loop {
        let rested_from = Instant::now();
        loop {
            if signal.stopped.load(Acquire) {
                return;
            }
            let rested = rested_from.elapsed();
            let due = match signal.request.load(Acquire) {
                NONE => rest,
                SOON => rest.min(sink.min_rest()),
                _ => Duration::ZERO,
            };
            if rested >= due {
                break;
            }
            thread::park_timeout(due - rested);
        }
        signal.request.store(NONE, Release);
        signal.begun.fetch_add(1, AcqRel);
        rest = sample(probe, sink);
        signal.finish_one();
    }
}

/// Measures once.
pub(crate) fn sample(probe: &mut dyn CapacityProbe, sink: &mut dyn Sink) -> Duration {
    sink.before();
    sink.after(measure(probe))
}

fn measure(probe: &mut dyn CapacityProbe) -> Result<Reading, ProbeError> {
    // A probe that panicked is asked again next time; what state it is in is its own affair.
    catch_unwind(AssertUnwindSafe(|| probe.measure()))
        .unwrap_or_else(|payload: Box<dyn Any + Send>| Err(ProbeError::panicked(&*payload)))
}

/// How others reach a sampler's thread.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    request: AtomicU8,
    stopped: AtomicBool,
    thread: OnceLock<Thread>,
    begun: AtomicU64,
    finished: Mutex<u64>,
    one_finished: Condvar,
}

const NONE: u8 = 0;
/// Measure when the last measurement is [`Sink::min_rest`] ago.
const SOON: u8 = 1;
const NOW: u8 = 2;

impl Signal {
    /// Asks for a measurement soon. Costs one load when one was already asked for.
    pub(crate) fn refresh(&self) {
        if self.request.load(Relaxed) == NONE && self.request.fetch_max(SOON, AcqRel) == NONE {
            self.wake();
        }
    }

    /// Waits for a measurement that begins after this call, without the least rest before it. Returns whether it was done
    /// within `limit`.
    pub(crate) fn wait_for_next(&self, limit: Duration) -> bool {
        // One may be under way; it began before.
        let wanted = self.begun.load(Acquire) + 1;
        self.request.store(NOW, Release);
        self.wake();
        let finished = lock(&self.finished);
        let (finished, _) = self
            .one_finished
            .wait_timeout_while(finished, limit, |finished| *finished < wanted)
            .unwrap_or_else(PoisonError::into_inner);
        *finished >= wanted
    }

    fn finish_one(&self) {
        *lock(&self.finished) += 1;
        self.one_finished.notify_all();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Forward {
        outcomes: mpsc::Sender<Result<Reading, ProbeError>>,
        rest: Duration,
        min_rest: Duration,
    }

    impl Sink for Forward {
        fn before(&mut self) {}

        fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration {
            let _ = self.outcomes.send(outcome);
            self.rest
        }

        fn min_rest(&self) -> Duration {
            self.min_rest
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    fn start(
        probe: impl CapacityProbe + 'static,
        rest: Duration,
    ) -> (Result<Sampler, ProbeError>, mpsc::Receiver<Result<Reading, ProbeError>>) {
        start_with(probe, rest, Duration::ZERO)
    }

    fn start_with(
        probe: impl CapacityProbe + 'static,
        rest: Duration,
        min_rest: Duration,
    ) -> (Result<Sampler, ProbeError>, mpsc::Receiver<Result<Reading, ProbeError>>) {
        let (outcomes, receiver) = mpsc::channel();
        let sampler = Sampler::start("test", Box::new(probe), LONG, Arc::default(), |_| Forward {
            outcomes,
            rest,
            min_rest,
        });
        (sampler, receiver)
    }

    #[test]
    fn a_first_failure_is_an_error_at_start() {
        let (sampler, _) = start(|| Err::<Reading, _>("no such thing"), LONG);
        assert!(sampler.is_err());
    }

    #[test]
    fn a_first_measurement_that_hangs_is_an_error_too() {
        let (release, hang) = mpsc::channel::<()>();
        let probe = move || {
            let _ = hang.recv();
            Ok::<_, ProbeError>(Reading::new(1, 1))
        };
        let limit = Duration::from_millis(20);
        let started = Sampler::start("test", Box::new(probe), limit, Arc::default(), |_| Forward {
            outcomes: mpsc::channel().0,
            rest: LONG,
            min_rest: LONG,
        });
        assert_eq!(
            started.expect_err("hangs").kind(),
            super::super::ProbeErrorKind::TimedOut
        );
        drop(release);
    }

    #[test]
    fn goes_on_after_errors_and_panics() {
        let mut calls = 0;
        let probe = move || {
            calls += 1;
            match calls {
                2 => Err("an error"),
                3 => std::panic::resume_unwind(Box::new("a panic")),
                _ => Ok(Reading::new(10, calls)),
            }
        };
        let (sampler, outcomes) = start(probe, Duration::ZERO);
        let _sampler = sampler.expect("the first measurement is good");
        let kinds: Vec<_> = outcomes
            .iter()
            .take(3)
            .map(|outcome| outcome.map_err(|e| e.kind()))
            .collect();
        use super::super::ProbeErrorKind::{Custom, Panicked};
        assert_eq!(kinds, [Err(Custom), Err(Panicked), Ok(Reading::new(10, 4))]);
    }

    #[test]
    fn a_kick_does_not_wait_for_the_pace() {
        let (sampler, outcomes) = start(|| Ok::<_, ProbeError>(Reading::new(1, 1)), LONG);
        let sampler = sampler.expect("measures");
        assert!(outcomes.recv().is_ok(), "one follows the first at once");
        sampler.signal.refresh();
        assert!(outcomes.recv().is_ok());
        assert!(sampler.signal.wait_for_next(LONG));
    }

    #[test]
    fn requests_wait_for_the_least_rest() {
        let (sender, begun) = mpsc::channel();
        let probe = move || {
            let _ = sender.send(Instant::now());
            Ok::<_, ProbeError>(Reading::new(1, 1))
        };
        let min_rest = Duration::from_millis(30);
        let (sampler, _outcomes) = start_with(probe, LONG, min_rest);
        let sampler = sampler.expect("measures");
        let mut last = begun.recv().expect("the first");
        for _ in 0..5 {
            let next = loop {
                sampler.signal.refresh();
                match begun.try_recv() {
                    Ok(next) => break next,
                    Err(_) => thread::yield_now(),
                }
            };
            assert!(next - last >= min_rest, "{:?}", next - last);
            last = next;
        }
    }

    #[test]
    fn waiting_for_a_measurement_skips_the_least_rest() {
        let (sampler, _outcomes) = start_with(|| Ok::<_, ProbeError>(Reading::new(1, 1)), LONG, LONG);
        let sampler = sampler.expect("measures");
        assert!(sampler.signal.wait_for_next(LONG / 2));
        sampler.signal.refresh();
        assert!(sampler.signal.wait_for_next(LONG / 2));
    }

    #[test]
    fn never_has_two_measurements_outstanding() {
        let running = Arc::new(AtomicU64::new(0));
        let probe = move || {
            assert_eq!(running.fetch_add(1, AcqRel), 0, "one at a time");
            thread::yield_now();
            running.fetch_sub(1, AcqRel);
            Ok::<_, ProbeError>(Reading::new(1, 1))
        };
        let (sampler, outcomes) = start(probe, Duration::ZERO);
        let sampler = sampler.expect("measures");
        for _ in 0..50 {
            sampler.signal.refresh();
            assert!(outcomes.recv().expect("runs").is_ok());
        }
    }

    #[test]
    fn ends_with_its_handle() {
        let (sampler, outcomes) = start(|| Ok::<_, ProbeError>(Reading::new(1, 1)), LONG);
        drop(sampler);
        // The sink, and with it the sender, is gone when the thread has ended.
        while outcomes.recv().is_ok() {}
    }
}
