//! Each request closes the bytes that it stored, no more and no fewer.

use crate::{
    model::need,
    plan::{Plan, Style},
    world::World,
};

impl World {
    /// Does a part of a request's work, and notes what it closes.
    pub(crate) fn noting<T>(&self, plan: Option<&Plan>, work: impl FnOnce() -> T) -> T {
        let unseen = || self.resources.iter().map(|resource| resource.report().unseen);
        let before: Vec<_> = unseen().collect();
        let outcome = work();
        for (at, (before, after)) in before.into_iter().zip(unseen()).enumerate() {
            let closed = after.saturating_sub(before);
            if closed == 0 {
                continue;
            }
            self.site.disk(at).closed.push((closed, None));
            if let Some(plan) = plan {
                self.facts(plan, |facts| facts.closed[at] += closed);
            }
        }
        outcome
    }

    /// A measurement begins.
    pub(crate) fn note_sample(&self, at: usize) {
        let now = self.site.now();
        for (_, taken) in &mut self.site.disk(at).closed {
            taken.get_or_insert(now);
        }
    }

    /// The reading is there. Bytes that closed long enough before it are not held any more.
    pub(crate) fn judge_unseen(&self, at: usize, began: u64, unseen: u64) {
        let mut disk = self.site.disk(at);
        // As much again, because closed bytes are grouped.
        let lag = 2 * disk.lag;
        disk.closed
            .retain(|(_, taken)| taken.is_none_or(|taken| taken + lag > began));
        let most: u64 = disk.closed.iter().map(|(bytes, _)| bytes).sum();
        drop(disk);
        self.site.check(unseen <= most, || {
            format!("disk {at}: {unseen} bytes are unseen, and no more than {most} can be")
        });
    }

    /// The resources that do not refuse everything.
    pub(crate) fn open(&self) -> Vec<bool> {
        self.resources
            .iter()
            .map(|resource| !resource.report().closed)
            .collect()
    }

    /// A request has gone on. Only one that found a disk full refuses everything else there.
    pub(crate) fn judge_closed_gates(&self, open: &[bool], plan: Option<&Plan>) {
        let may_close = plan.is_some_and(|plan| self.facts(plan, |facts| facts.told_full));
        for (at, (was_open, is_open)) in open.iter().zip(self.open()).enumerate() {
            self.site.check(!was_open || is_open || may_close, || {
                let number = plan.map_or(0, |plan| plan.number);
                format!("#{number} closed disk {at} for everybody")
            });
        }
    }

    /// A request is over. All that it may have written is closed; bytes that never came are free again.
    pub(crate) fn judge_closed(&self, plan: &Plan) {
        let (closed, came, minimum) = self.facts(plan, |facts| {
            (facts.closed, facts.handed.max(facts.copied), facts.minimum)
        });
        for &at in &self.layers[plan.layer].disks {
            let (closed, disk) = (closed[at], self.site.disk(at));
            let most = need(&disk, came.max(minimum).max(plan.copies.unwrap_or(0)));
            // A body that was handed over is still read, and report-only mode holds nothing.
            let goes_on = plan.style == Style::HandsOver || plan.writes_in_task;
            let is_exact = !goes_on && !disk.is_tainted;
            let least = if is_exact { came } else { 0 };
            drop(disk);
            self.site.check((least..=most).contains(&closed), || {
                format!("#{} closed {closed} bytes on disk {at}, and {came} came", plan.number)
            });
        }
    }
}
