use std::{sync::Arc, time::Duration};

use super::ResourceInner;
use crate::{
    capacity::{Reading, Reconciler, State},
    probe::{ProbeError, Sink},
};

/// Applies the readings of one resource to its account.
pub(crate) struct ResourceSink {
    core: Arc<ResourceInner>,
    bytes: Reconciler,
    inodes: Reconciler,
    began: Duration,
    /// How late the last reading could show a write: its age and lag.
    delay: Duration,
    /// Samples in a row between which nothing happened.
    quiet: u32,
}

/// Sampling is slowed down to this when nothing happens.
const SLOWEST: Duration = Duration::from_secs(1);
/// Close to the floor sampling is this much faster.
const HURRY: u32 = 5;

impl Sink for ResourceSink {
    fn before(&mut self) {
        self.began = self.core.clock.now();
        self.bytes
            .before_measuring(&self.core.account.bytes, self.began, self.delay);
        self.inodes
            .before_measuring(&self.core.account.inodes, self.began, self.delay);
        // Now already: the measurement may fail or hang, and what was closed is not held by requests again.
        self.core.set_unseen(self.bytes.unseen());
    }

    fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration {
        match outcome {
            Ok(reading) => {
                let something_happened = self.apply(&reading);
                self.pace(something_happened)
            }
            Err(error) => {
                self.core.record_failure(&error);
                self.core.settings().interval
            }
        }
    }

    fn min_rest(&self) -> Duration {
        self.core.settings().min_rest()
    }
}

impl ResourceSink {
    /// Opens the resource's account with its first reading.
    pub(crate) fn open(core: Arc<ResourceInner>, first: &Reading) -> Self {
        let mut sink = Self {
            bytes: Reconciler::open(&core.account.bytes, 0),
            inodes: Reconciler::open(&core.account.inodes, 0),
            began: core.clock.now(),
            delay: Duration::ZERO,
            quiet: 0,
            core,
        };
        sink.apply(first);
        sink
    }

    /// Brings the accounts to a reading. Returns whether anything changed since the last one.
    fn apply(&mut self, reading: &Reading) -> bool {
        self.delay = reading.age.saturating_add(reading.lag);
        let shows_until = self.began.checked_sub(self.delay);
        let taken_at = self.began.saturating_sub(reading.age);
        let Self {
            core, bytes, inodes, ..
        } = self;
        let (mut moved, mut seen) = (false, 0);
        core.apply_reading(reading, taken_at, |limits, moved_by_others| {
            bytes.limit_moved(moved_by_others.0);
            inodes.limit_moved(moved_by_others.1);
            moved = limits.0 != bytes.limit();
            seen = bytes.after_measuring(&core.account.bytes, limits.0, shows_until);
            inodes.after_measuring(&core.account.inodes, limits.1, shows_until);
            bytes.unseen()
        });
        moved || seen > 0
    }

    fn pace(&mut self, something_happened: bool) -> Duration {
        let (settings, state) = self.core.settings_and_state();
        let interval = settings.interval;
        let headroom = self.core.account.bytes.headroom();
        if state != State::Ok || headroom < self.bytes.limit() / 16 {
            self.quiet = 0;
            return (interval / HURRY).max(settings.min_rest());
        }
        self.quiet = if something_happened {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        // After some ten quiet samples, so that a pause between two uploads changes nothing.
        (interval * (1 + self.quiet / 10).min(4)).min(SLOWEST.max(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        background::Periodic,
        capacity::Floor,
        clock::ManualClock,
        resource::{FailurePolicy, ResourceSettings, gate, inner::Fixed},
    };

    fn sink(settings: ResourceSettings, first: Reading) -> ResourceSink {
        sink_at(ManualClock::new(), settings, first)
    }

    fn sink_at(clock: ManualClock, settings: ResourceSettings, first: Reading) -> ResourceSink {
        let fixed = Fixed {
            first_measurement_within: Duration::from_secs(1),
            observers: Vec::new(),
        };
        let core = ResourceInner::new("r".into(), settings, fixed, Arc::default(), Arc::new(clock), &first);
        ResourceSink::open(Arc::new(core), &first)
    }

    fn settings(interval: Duration) -> ResourceSettings {
        ResourceSettings {
            interval,
            floor: Floor::NONE,
            ..ResourceSettings::default()
        }
    }

    fn sample(sink: &mut ResourceSink, available: u64) -> u128 {
        sink.before();
        sink.after(Ok(Reading::new(16_000, available))).as_millis()
    }

    #[test]
    fn when_nothing_happens_it_is_looked_at_less_often_down_to_once_a_second() {
        for (interval, paces) in [
            (100, [100, 200, 300, 400, 400]),
            (400, [400, 800, 1000, 1000, 1000]),
            (3000, [3000; 5]),
        ] {
            let mut sink = sink(settings(Duration::from_millis(interval)), Reading::new(16_000, 8000));
            for quiet in 1..50 {
                assert_eq!(sample(&mut sink, 8000), paces[quiet / 10], "{interval} {quiet}");
            }
            // Others have written.
            assert_eq!(sample(&mut sink, 7999), u128::from(interval));
            for quiet in 1..20 {
                assert_eq!(sample(&mut sink, 7999), paces[quiet / 10]);
            }
            // So has a request of ours that shows as nothing.
            assert!(sink.core.account.bytes.try_reserve(5));
            sink.core.account.close(5);
            assert_eq!(sample(&mut sink, 7999), u128::from(interval));
        }
    }

    #[test]
    fn where_it_is_tight_it_is_looked_at_more_often() {
        let mut sink = sink(settings(Duration::from_millis(100)), Reading::new(16_000, 1600));
        assert!(sink.core.account.bytes.try_reserve(1500));
        assert_eq!(sample(&mut sink, 1600), 100, "a sixteenth of what may be held is left");
        assert!(sink.core.account.bytes.try_reserve(1));
        assert_eq!(sample(&mut sink, 1600), 20);
        // In the band above the floor, although nobody holds anything.
        sink.core.account.bytes.refund(1501);
        assert_eq!(sample(&mut sink, 800), 20);
        // Never sooner than the program allows.
        let slow = settings(Duration::from_millis(100)).min_interval(Duration::from_millis(70));
        sink.core.reconfigure(slow);
        assert_eq!(sample(&mut sink, 800), 70);
    }

    #[test]
    fn only_a_later_reading_ends_exhaustion() {
        let clock = ManualClock::new();
        let reading = Reading::new(16_000, 8000);
        let failing_open = settings(Duration::from_secs(1)).on_probe_failure(FailurePolicy::Open);
        let mut sink = sink_at(clock.clone(), failing_open, reading);
        let core = sink.core.clone();
        let is_closed = || core.account.gate() == gate::FULL && core.account.is_exhausted();
        let read = |sink: &mut ResourceSink, reading| {
            sink.before();
            sink.after(Ok(reading));
        };
        core.exhaust();
        assert!(is_closed());

        sink.before();
        core.reconfigure(failing_open.inode_floor(1));
        assert!(is_closed(), "while a measurement hangs");
        clock.advance(Duration::from_secs(60));
        core.tick();
        assert!(is_closed(), "after it hung for too long");
        sink.after(Err(ProbeError::custom("no answer")));
        assert!(is_closed(), "after it failed");

        sink.before();
        clock.advance(Duration::from_secs(1));
        core.exhaust();
        sink.after(Ok(reading));
        assert!(is_closed(), "the reading began before");
        read(&mut sink, reading.with_age(Duration::from_millis(1)));
        assert!(is_closed(), "the reading was taken before");

        read(&mut sink, reading);
        assert!(!core.account.is_exhausted());
        assert_eq!(core.account.gate(), gate::OPEN);
    }

    #[test]
    fn bytes_stay_unseen_for_the_age_of_the_readings() {
        let clock = ManualClock::new();
        let reading = Reading::new(16_000, 8000).with_age(Duration::from_secs(60));
        let mut sink = sink_at(clock.clone(), settings(Duration::from_millis(250)), reading);
        for _ in 0..4 * 600 {
            clock.advance(Duration::from_millis(250));
            assert!(sink.core.account.bytes.try_reserve(1));
            sink.core.account.close(1);
            sink.before();
            sink.after(Ok(reading));
        }
        let unseen = sink.bytes.unseen();
        assert!((240..=250).contains(&unseen), "{unseen}");
    }

    #[test]
    fn a_floor_that_changes_between_two_samples_counts_once() {
        let reading = Reading::new(16_000, 8000).with_inodes(1000, 100);
        let mut sink = sink(settings(Duration::from_millis(100)), reading);
        for floor in [5, 8] {
            sink.core.reconfigure(ResourceSettings {
                inode_floor: floor,
                floor: Floor::bytes(10 * floor),
                ..settings(Duration::from_millis(100))
            });
        }
        for _ in 0..2 {
            assert_eq!(
                (sink.core.account.bytes.headroom(), sink.core.account.inodes.headroom()),
                (7920, 92)
            );
            sink.before();
            sink.after(Ok(reading));
        }
    }
}
