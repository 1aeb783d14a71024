use std::{sync::Arc, time::Duration};

use super::core::{Core, lock};
use crate::{
    capacity::{Event, Reading, Reconciler, State, Visibility},
    probe::{ProbeError, Sink},
};

/// Takes the readings of one resource in.
pub(in crate::admission) struct ResourceSink {
    core: Arc<Core>,
    bytes: Reconciler,
    inodes: Reconciler,
    visibility: Visibility,
    began: Duration,
    lag: Duration,
    /// The storage had said that it is full when the measurement began.
    was_exhausted: bool,
    /// Samples in a row between which nothing happened.
    quiet: u32,
}

/// Sampling is slowed down to this when nothing happens.
const SLOWEST: Duration = Duration::from_secs(1);
/// Close to the floor sampling is this much faster.
const HURRY: u32 = 5;

impl Sink for ResourceSink {
    fn before(&mut self) {
        self.was_exhausted = self.core.forget_exhaustion();
        self.began = self.core.clock.now();
        self.bytes.before_measuring(&self.core.bytes, self.began, self.lag);
        self.inodes.before_measuring(&self.core.inodes, self.began, self.lag);
        // Now already: the measurement may fail or hang, and what was closed is not held by requests again.
        self.core.tell_unseen(self.bytes.unseen());
    }

    fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration {
        let reading = match outcome {
            Ok(reading) => reading,
            Err(error) => {
                if self.was_exhausted {
                    self.core.recall_exhaustion();
                }
                self.core.take_in_failure(&error);
                return self.core.interval();
            }
        };
        self.lag = reading.lag;
        let shows_until = self.began.checked_sub(reading.age.saturating_add(reading.lag));
        let taken_at = self.began.saturating_sub(reading.age);
        let Self {
            core, bytes, inodes, ..
        } = &mut *self;
        let (mut moved, mut seen) = (false, 0);
        let before = core.take_in(&reading, taken_at, |limits, moved_by_others| {
            bytes.limit_moved(moved_by_others.0);
            inodes.limit_moved(moved_by_others.1);
            moved = limits.0 != bytes.limit();
            seen = bytes.after_measuring(&core.bytes, limits.0, shows_until);
            inodes.after_measuring(&core.inodes, limits.1, shows_until);
            bytes.unseen()
        });
        if let Some(unseen) = self.visibility.observe(seen, before, reading.available) {
            self.core.tell(&Event::WritesUnseen {
                resource: &self.core.name,
                closed: unseen.closed,
                seen: unseen.seen,
            });
        }
        self.pace(moved || seen > 0)
    }
}

impl ResourceSink {
    /// Opens the resource's account with its first reading.
    pub(in crate::admission) fn open(core: Arc<Core>, first: &Reading) -> Self {
        let began = core.clock.now();
        let (mut bytes, mut inodes) = (None, None);
        core.take_in(first, began.saturating_sub(first.age), |limits, _| {
            bytes = Some(Reconciler::open(&core.bytes, limits.0));
            inodes = Some(Reconciler::open(&core.inodes, limits.1));
            0
        });
        #[expect(clippy::expect_used, reason = "`take_in` calls what it is given")]
        let (bytes, inodes) = bytes.zip(inodes).expect("the accounts were opened");
        Self {
            bytes,
            inodes,
            visibility: Visibility::default(),
            began,
            lag: first.lag,
            was_exhausted: false,
            quiet: 0,
            core,
        }
    }

    fn pace(&mut self, something_happened: bool) -> Duration {
        let interval = self.core.interval();
        let headroom = self.core.bytes.headroom();
        if lock(&self.core.health).state() != State::Ok || headroom < self.bytes.limit() / 16 {
            self.quiet = 0;
            return interval / HURRY;
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
