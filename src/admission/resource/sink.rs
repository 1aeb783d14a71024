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
    }

    fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration {
        let reading = match outcome {
            Ok(reading) => reading,
            Err(error) => {
                if self.was_exhausted {
                    self.core.recall_exhaustion();
                }
                self.core.take_in_failure(&error);
                return self.core.settings.interval;
            }
        };
        self.lag = reading.lag;
        let (limit, inode_limit) = self.core.limits(&reading);
        let moved = limit != self.bytes.limit();
        let shows_until = self.began.checked_sub(reading.age.saturating_add(reading.lag));
        let seen = self.bytes.after_measuring(&self.core.bytes, limit, shows_until);
        self.inodes.after_measuring(&self.core.inodes, inode_limit, shows_until);
        let taken_at = self.began.saturating_sub(reading.age);
        let before = self.core.take_in(&reading, taken_at, limit, self.bytes.unseen());
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
        let (limit, inode_limit) = core.limits(first);
        let sink = Self {
            bytes: Reconciler::open(&core.bytes, limit),
            inodes: Reconciler::open(&core.inodes, inode_limit),
            visibility: Visibility::default(),
            began,
            lag: first.lag,
            was_exhausted: false,
            quiet: 0,
            core,
        };
        sink.core.take_in(first, began.saturating_sub(first.age), limit, 0);
        sink
    }

    fn pace(&mut self, something_happened: bool) -> Duration {
        let interval = self.core.settings.interval;
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
