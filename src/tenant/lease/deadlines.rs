//! Those who have waited for too long.

use std::{sync::PoisonError, time::Duration};

use super::keeper::{Keeper, lock, with_lease};
use crate::{
    capacity::Event,
    tenant::{Accounts, Denied, DeniedKind},
};

/// While the store is in trouble, leases that may end are looked at so often.
const LOOK: Duration = Duration::from_millis(100);

impl Keeper {
    /// Blocks until somebody may have waited for too long. `false` when the keeper stops.
    pub(super) fn wait_for_deadline(&self) -> bool {
        let mut deadlines = lock(&self.deadlines);
        loop {
            if lock(&self.queue).stopping {
                return false;
            }
            let now = self.clock.now();
            let first = deadlines.front().map(|deadline| deadline.at);
            if first.is_some_and(|at| at <= now) {
                return true;
            }
            let look = self.settings.reap_after.map(|_| now.saturating_add(LOOK));
            let Some(until) = [first, look].into_iter().flatten().min() else {
                deadlines = self.due.wait(deadlines).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            deadlines = match self.due.wait_timeout(deadlines, until - now) {
                Ok((deadlines, timeout)) if timeout.timed_out() => {
                    drop(deadlines);
                    return true;
                }
                Ok((deadlines, _)) => deadlines,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Decides by the policy about those whose time is up, and ends leases that others may have by now.
    pub(in crate::tenant) fn expire(&self, accounts: &Accounts) {
        let now = self.clock.now();
        loop {
            let mut deadlines = lock(&self.deadlines);
            if deadlines.front().is_none_or(|deadline| deadline.at > now) {
                break;
            }
            let Some(deadline) = deadlines.pop_front() else { break };
            drop(deadlines);
            if !deadline.waiter.is_waiting() {
                continue;
            }
            if let Some(error) = self.health.find_unreachable(now, self.settings.patience) {
                self.tell(&Event::LedgerUnreachable {
                    ledger: &self.ledger,
                    error: &error,
                });
            }
            let balance = &deadline.entry.balance;
            let bytes = deadline.waiter.bytes;
            with_lease(&deadline.entry, |lease| {
                let outcome = if self.health.is_unreachable() {
                    let configured = accounts.limits.limit_of(&lease.tenant);
                    lease.decide_alone(balance, bytes, self.settings.unreachable, configured)
                } else {
                    Err(Denied::new(DeniedKind::Unknown))
                };
                if !deadline.waiter.resolve(outcome) && outcome.is_ok() {
                    balance.release(bytes);
                }
            });
        }
        let half = self.settings.ttl / 2;
        if self.settings.reap_after.is_some() && self.health.troubled_for(now).is_some_and(|time| time > half) {
            for entry in accounts.table.entries() {
                with_lease(&entry, |lease| lease.end_if_due(&entry.balance, now));
            }
        }
    }

    /// The keeper has stopped: nobody will answer any more.
    pub(super) fn dismiss_waiters(&self) {
        for deadline in lock(&self.deadlines).drain(..) {
            deadline.waiter.resolve(Err(Denied::new(DeniedKind::Unknown)));
        }
    }
}
