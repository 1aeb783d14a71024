//! Minutes of small overwrites on a disk where writes show late.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{draw, site::Fault, world::World};

/// The longest time between two requests, in ms.
const GAP: u64 = 350;
/// An entry of closed bytes collects for this part of the lag.
const GRAIN: u64 = 64;

impl World {
    pub(crate) fn overwrite_steadily(self: &Arc<Self>) {
        let site = &self.site;
        let layer = site.below(self.layers.len() as u64) as usize;
        let at = self.layers[layer].disks[0];
        let lag = 10_000 + site.below(20_000);
        site.disk(at).lag = lag;
        self.mend();
        site.is_quiet.store(true, Relaxed);
        site.say(|| format!("small overwrites on disk {at}, where writes show after {lag} ms"));
        // What closed before is back by then.
        let begin = site.now() + lag + lag / GRAIN + GAP;
        let end = begin + 30_000 + site.below(60_000);
        let mut closed = 0;
        while site.now() < end && !site.is_wrong() {
            site.clock.advance(Duration::from_millis(GAP - site.below(GAP / 2)));
            self.overwrite(layer);
            while self.poll_one() {}
            if self.ask_stores() {
                while self.poll_one() {}
            }
            (0..self.resources.len()).for_each(|at| self.sample(at));
            if site.now() >= begin {
                closed = self.check_unseen(at, lag);
            }
        }
        if closed > 0 {
            site.count("steady overwrites where writes show late");
        }
        site.is_quiet.store(false, Relaxed);
    }

    fn overwrite(self: &Arc<Self>, layer: usize) {
        if self.is_crowded() {
            return;
        }
        let number = self.plans.lock().unwrap().len();
        let (plan, request) = draw::overwrite(number, layer, 1 + self.site.below(4 << 10));
        self.send(plan, request);
    }

    /// Checks that nothing is unseen but what closed within the lag. Returns how much that is.
    fn check_unseen(&self, at: usize, lag: u64) -> u64 {
        let window = lag + lag / GRAIN + GAP;
        let since = self.site.now() - window;
        let closes = self.closes.lock().unwrap();
        let recent = closes[at].iter().rev().take_while(|(time, _)| *time >= since);
        let closed: u64 = recent.map(|(_, bytes)| bytes).sum();
        let unseen = self.resources[at].report().unseen;
        self.site.check(unseen <= closed, || {
            format!("disk {at}: {unseen} unseen, but {closed} closed within {window} ms")
        });
        closed
    }

    /// Whether a schedule ends with small overwrites.
    pub(crate) fn is_steady(&self) -> bool {
        match self.site.fault {
            Fault::None => self.site.one_in(25),
            fault => fault == Fault::LagIsOverstated,
        }
    }
}
