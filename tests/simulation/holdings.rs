//! What each request holds of the disks, found by how the accounts change while it runs.

use crate::{
    model::need,
    plan::{BOOKS, DISKS, Facts, Plan},
    world::World,
};

/// How the accounts stand that a request can change.
struct Amounts {
    held: [i64; DISKS],
    unseen: [i64; DISKS],
    /// By the tenant's ledgers in memory. Those with leases change when their store replies, too.
    reserved: [i64; BOOKS],
}

impl World {
    /// Runs an action of one request, and attributes to the request what it changes in the accounts.
    pub(crate) fn attribute<T>(&self, plan: &Plan, action: impl FnOnce() -> T) -> T {
        let guard = &self.layers[plan.layer];
        let rules = *guard.rules.lock().unwrap();
        let (before, before_layer) = (self.amounts(plan.tenant), guard.layer.report());
        let outcome = action();
        let (after, after_layer) = (self.amounts(plan.tenant), guard.layer.report());

        let mut facts = plan.facts();
        if after_layer.admitted > before_layer.admitted {
            facts.admitted_at = Some(rules.minimum);
        }
        facts.lingers |= after_layer.lingered > before_layer.lingered;
        facts.is_loose |= rules.report_only;
        for at in 0..DISKS {
            let closed = after.unseen[at] - before.unseen[at];
            facts.held[at] += after.held[at] - before.held[at];
            facts.closed[at] += closed;
            if closed > 0 {
                let mut closes = self.closes.lock().unwrap();
                closes[at].push((self.site.now(), closed.unsigned_abs()));
            }
        }
        for at in 0..BOOKS {
            facts.charged[at] += after.reserved[at] - before.reserved[at];
        }
        outcome
    }

    fn amounts(&self, tenant: Option<usize>) -> Amounts {
        let mut amounts = Amounts {
            held: [0; DISKS],
            unseen: [0; DISKS],
            reserved: [0; BOOKS],
        };
        for (at, resource) in self.resources.iter().enumerate() {
            let report = resource.report();
            (amounts.held[at], amounts.unseen[at]) = (report.held as i64, report.unseen as i64);
        }
        for (at, book) in self.books.iter().enumerate().filter(|(_, book)| book.store.is_none()) {
            if let Some(tenant) = tenant {
                let usage = book.ledger.usage(book.name(book.account(tenant)));
                amounts.reserved[at] = usage.reserved as i64;
            }
        }
        amounts
    }

    /// Checks that a request holds what it needs, and nothing beyond its end.
    pub(crate) fn judge_holdings(&self, plan: &Plan) {
        let facts = plan.facts();
        for at in 0..self.resources.len() {
            if let Err(wrong) = self.check_holding(plan, &facts, at) {
                let (held, closed, handed) = (facts.held[at], facts.closed[at], facts.handed);
                self.site.wrong(|| {
                    format!(
                        "#{} {:?}, {handed} handed: disk {at} holds {held} and closed {closed}, {wrong}",
                        plan.number, plan.claim
                    )
                });
            }
        }
        self.judge_charges(plan, &facts);
        if facts.is_over {
            self.count_end(plan, &facts);
        }
    }

    /// The same for the tenant's ledgers in memory.
    fn judge_charges(&self, plan: &Plan, facts: &Facts) {
        for (book, charged) in self.books.iter().zip(facts.charged) {
            let is_right = if book.store.is_some() {
                true
            } else if facts.reservation_is_over() {
                charged == 0
            } else {
                let stored = facts.handed.max(plan.claim.copies) as i64;
                facts.is_loose || facts.admitted_at.is_none() || charged >= stored
            };
            self.site.check(is_right, || {
                let (name, handed) = (book.ledger_name(), facts.handed);
                format!("#{}, {handed} handed: {name} reserves {charged}", plan.number)
            });
        }
    }

    fn check_holding(&self, plan: &Plan, facts: &Facts, at: usize) -> Result<(), String> {
        let (held, closed) = (facts.held[at], facts.closed[at]);
        let check = |holds: bool, wrong: &str| if holds { Ok(()) } else { Err(wrong.to_owned()) };
        let Some(minimum) = facts
            .admitted_at
            .filter(|_| self.layers[plan.layer].disks.contains(&at))
        else {
            return check((held, closed) == (0, 0), "but it was not admitted");
        };
        let need = |bytes| need(&self.site.disk(at), bytes) as i64;
        let stored = facts.handed.max(plan.claim.adds);
        if !facts.reservation_is_over() {
            let written = facts.handed.saturating_sub(facts.buffer);
            check(
                closed == 0 || (written > 0 && closed <= need(written)),
                "but less is written",
            )?;
            let reserved = facts.reserved.unwrap_or(u64::MAX);
            let has_enough = held + closed >= need(stored) && reserved >= facts.handed;
            return check(facts.is_loose || has_enough, "but it stores more");
        }
        let stores = plan.claim.creates || facts.client.is_asked;
        let expected = if stores { need(stored.max(minimum)) } else { 0 };
        check(held == 0, "but it is over")?;
        // Where refusals are only reported, less may have been reserved.
        let is_right = closed == expected || (facts.is_loose && closed < expected);
        if is_right {
            return Ok(());
        }
        Err(format!("but {expected} may be written"))
    }

    /// Counts ends with less than the request claimed.
    fn count_end(&self, plan: &Plan, facts: &Facts) {
        let claim = &plan.claim;
        if facts.admitted_at.is_some() && claim.may_grow && facts.handed > claim.bytes && claim.bytes > 0 {
            self.site.count(if self.has_leases() {
                "hint: the body brings more, with leases"
            } else {
                "hint: the body brings more"
            });
        }
        if facts.admitted_at.is_none() || claim.may_grow || facts.handed.max(claim.adds) >= claim.bytes {
            return;
        }
        let has_lag = self.layers[plan.layer]
            .disks
            .iter()
            .any(|&at| self.site.disk(at).lag > 0);
        if facts.client.has_failed {
            self.site.count("left early: the body failed");
        } else if facts.is_aborted {
            self.site.count("left early: aborted");
        } else {
            return;
        }
        if has_lag {
            self.site.count("left early: where writes show late");
        }
    }

    /// Checks that nothing is held but by the requests under way.
    pub(crate) fn watch_holdings(&self) {
        let mut held = [0; DISKS];
        for plan in self.plans_under_way() {
            let facts = plan.facts();
            for (sum, held) in held.iter_mut().zip(facts.held) {
                *sum += held;
            }
        }
        for (at, (all, held)) in self.amounts(None).held.into_iter().zip(held).enumerate() {
            self.site.check(all == held, || {
                format!("disk {at}: {all} held, and {held} by requests under way")
            });
        }
    }

    /// The requests with a task, each once.
    pub(crate) fn plans_under_way(&self) -> Vec<Plan> {
        let tasks = self.tasks.lock().unwrap();
        let mut plans: Vec<_> = tasks.iter().map(|task| task.plan.clone()).collect();
        plans.sort_by_key(|plan| plan.number);
        plans.dedup_by_key(|plan| plan.number);
        plans
    }
}
