//! The keeper's conversation with the store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    LeaseStore, MissingRecord, Seed, SyncReply, SyncRequest,
    keeper::{Keeper, lock, with_lease},
    lease::{Lease, Next, Occasion, Stage, epoch},
};
use crate::{
    capacity::{Event, notify},
    tenant::{Accounts, Denied, DeniedKind, StoreError, StoreErrorKind, balance::LEASED, entry::Entry},
};

/// So many tenants at most in one call to the store, so that whoever waits does not stand behind a crowd.
const BATCH: usize = 256;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

impl Keeper {
    /// Blocks until there is something to say to the store. `false` when the keeper stops.
    pub(super) fn wait_for_work(&self) -> bool {
        let mut queue = lock(&self.queue);
        loop {
            if queue.stopping {
                return false;
            }
            let now = self.clock.now();
            let has_work = !(queue.urgent.is_empty() && queue.later.is_empty());
            let due = if has_work { Duration::ZERO } else { queue.next_heartbeat };
            let due = due.max(queue.not_before);
            if due <= now || !queue.commands.is_empty() {
                return true;
            }
            queue = match self.work.wait_timeout(queue, due - now) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// One exchange with the store at most, if there is something to say. Tells whether there was one that succeeded.
    pub(in crate::tenant) fn round(&self, accounts: &Accounts, store: &mut dyn LeaseStore) -> bool {
        self.run_commands(accounts, store);
        let batch = self.take_batch(accounts);
        let requests = self.prepare(accounts, batch);
        !requests.is_empty() && self.exchange(accounts, store, requests)
    }

    /// Gives everything back that nobody needs any more.
    pub(in crate::tenant) fn close(&self, accounts: &Accounts, store: &mut dyn LeaseStore) {
        self.run_commands(accounts, store);
        for batch in accounts.table.entries().chunks(BATCH) {
            let batch = batch.iter().map(|entry| (entry.clone(), Occasion::Closing)).collect();
            let requests = self.prepare(accounts, batch);
            if !requests.is_empty() && !self.exchange(accounts, store, requests) {
                break;
            }
        }
    }

    /// The next heartbeat is now: limits have changed.
    pub(in crate::tenant) fn beat_now(&self) {
        lock(&self.queue).next_heartbeat = Duration::ZERO;
        self.work.notify_one();
    }

    pub(in crate::tenant) fn stop(&self) {
        lock(&self.queue).stopping = true;
        self.work.notify_all();
        // Whoever looks at the flag there holds this lock until he waits.
        drop(lock(&self.deadlines));
        self.due.notify_all();
    }

    fn run_commands(&self, accounts: &Accounts, store: &mut dyn LeaseStore) {
        loop {
            let Some(command) = lock(&self.queue).commands.pop_front() else {
                return;
            };
            let outcome = call(|| store.set_limit(&command.tenant, command.limit));
            if outcome.is_ok() {
                if let Some(entry) = accounts.table.find(&command.tenant) {
                    let recall = self.prepare(accounts, vec![(Arc::clone(&entry), Occasion::Recall)]);
                    if !recall.is_empty() {
                        self.exchange(accounts, store, recall);
                    }
                }
            }
            // Whoever asked may have gone away.
            let _ = command.reply.send(outcome);
        }
    }

    fn take_batch(&self, accounts: &Accounts) -> Vec<(Arc<Entry>, Occasion)> {
        let now = self.clock.now();
        let is_beat = {
            let mut queue = lock(&self.queue);
            let is_pending = queue.later.iter().any(|(_, occasion)| *occasion == Occasion::Heartbeat);
            // While the store fails, heartbeats would pile up.
            let is_beat = queue.next_heartbeat <= now && !is_pending;
            if is_beat {
                queue.next_heartbeat = now.saturating_add(self.settings.heartbeat);
            }
            is_beat
        };
        let beats = if is_beat { accounts.table.entries() } else { Vec::new() };
        let mut queue = lock(&self.queue);
        let beats = beats.into_iter().map(|entry| (entry, Occasion::Heartbeat));
        queue.later.extend(beats);
        if queue.not_before > now {
            return Vec::new();
        }
        let mut batch: Vec<_> = (0..BATCH)
            .map_while(|_| queue.urgent.pop_front())
            .map(|entry| (entry, Occasion::Asked))
            .collect();
        let more = (BATCH - batch.len()).min(queue.later.len());
        batch.extend(queue.later.drain(..more));
        batch
    }

    /// Writes the requests of those who have something to say.
    fn prepare(&self, accounts: &Accounts, batch: Vec<(Arc<Entry>, Occasion)>) -> Vec<(Arc<Entry>, SyncRequest)> {
        let now = self.clock.now();
        let mut requests = Vec::with_capacity(batch.len());
        for (entry, occasion) in batch {
            let Some(cell) = &entry.lease else { continue };
            let mut slot = lock(&cell.lease);
            let Some(lease) = slot.as_mut() else { continue };
            if let Stage::InFlight { again } = &mut lease.stage {
                *again = true;
                continue;
            }
            let balance = &entry.balance;
            // A lease that is queued has something to tell, such as what it gave back in a request that failed.
            if occasion == Occasion::Heartbeat && matches!(lease.stage, Stage::Queued { .. }) {
                lease.beat(balance, &self.settings);
                continue;
            }
            let is_over = occasion != Occasion::Asked && lease.is_over(balance, &self.settings);
            lease.stage = Stage::Idle;
            if is_over || self.is_superseded.load(Relaxed) {
                remove_if_unused(&entry, &mut slot);
                continue;
            }
            if occasion == Occasion::Heartbeat && !lease.beat(balance, &self.settings) {
                continue;
            }
            lease.stage = Stage::InFlight { again: false };
            let limit = accounts.limits.limit_of(&lease.tenant);
            let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
            let request = lease.prepare(balance, &self.settings, limit, sequence, occasion, now);
            drop(slot);
            requests.push((entry, request));
        }
        requests
    }

    /// Tells whether it succeeded.
    fn exchange(&self, accounts: &Accounts, store: &mut dyn LeaseStore, sent: Vec<(Arc<Entry>, SyncRequest)>) -> bool {
        let (entries, requests): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        self.health.call_begins(self.clock.now());
        let outcome = call(|| store.sync(&requests)).and_then(|replies| {
            if replies.len() == requests.len() {
                return Ok(replies);
            }
            let message = format!("{} replies to {} requests", replies.len(), requests.len());
            Err(StoreError::new(StoreErrorKind::Corrupt, message))
        });
        let now = self.clock.now();
        match outcome {
            Ok(replies) => {
                lock(&self.queue).backoff = Duration::ZERO;
                if self.health.call_succeeds(now) {
                    self.tell(&Event::LedgerRecovered { ledger: &self.ledger });
                }
                for (entry, reply) in entries.iter().zip(replies) {
                    self.take_in(accounts, entry, &reply);
                }
                true
            }
            Err(error) => {
                self.health.call_fails(now, &error);
                let mut queue = lock(&self.queue);
                queue.backoff = (queue.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
                queue.not_before = now.saturating_add(queue.backoff);
                drop(queue);
                for entry in &entries {
                    with_lease(entry, |lease| {
                        lease.failed();
                        self.enqueue(entry, lease, !lease.waiting.is_empty());
                    });
                }
                false
            }
        }
    }

    fn take_in(&self, accounts: &Accounts, entry: &Arc<Entry>, reply: &SyncReply) {
        let Some(cell) = &entry.lease else { return };
        let balance = &entry.balance;
        let mut slot = lock(&cell.lease);
        let Some(lease) = slot.as_mut() else { return };
        let next = lease.take_in(balance, reply, &self.settings);
        self.incarnation.fetch_max(lease.incarnation, Relaxed);
        match next {
            Next::Again => self.enqueue(entry, lease, !lease.waiting.is_empty()),
            Next::Nothing if lease.is_over(balance, &self.settings) => {
                return remove_if_unused(entry, &mut slot);
            }
            Next::Nothing => {}
            Next::Seed => {
                let (tenant, is_lost) = (lease.tenant.clone(), lease.is_lost());
                // Measuring may take a while; reports need the lock.
                drop(slot);
                return self.seed(entry, &tenant, is_lost);
            }
            Next::Superseded => {
                drop(slot);
                return self.superseded(accounts);
            }
            Next::Failed => {
                let tenant = lease.tenant.clone();
                drop(slot);
                return self.failed(entry, &tenant, reply);
            }
        }
        let refill_above = lease.refill_above(balance, self.settings.chunk);
        cell.refill_above.store(refill_above, Relaxed);
    }

    fn seed(&self, entry: &Arc<Entry>, tenant: &str, is_lost: bool) {
        let (used, measured) = match &self.settings.missing {
            MissingRecord::StartAtZero => (0, false),
            MissingRecord::Refuse => return deny_all(entry),
            MissingRecord::Measure(measure) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| measure.measure(tenant)));
                match outcome.unwrap_or_else(|_| Err("it panicked".into())) {
                    Ok(used) => (used, true),
                    Err(error) => {
                        let ledger = &*self.ledger;
                        self.tell(&Event::UsageUnknown {
                            ledger,
                            tenant,
                            error: &*error,
                        });
                        return deny_all(entry);
                    }
                }
            }
        };
        if is_lost {
            self.tell(&Event::RecordLost {
                ledger: &self.ledger,
                tenant,
            });
        }
        let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
        let epoch = epoch(self.incarnation.load(Relaxed), sequence);
        with_lease(entry, |lease| {
            lease.plant(Seed { epoch, used, measured });
            self.enqueue(entry, lease, true);
        });
    }

    /// Somebody has to act. Nobody waits for that, and the next heartbeat tries again.
    fn failed(&self, entry: &Entry, tenant: &str, reply: &SyncReply) {
        if let SyncReply::Failed { kind, reason } = reply {
            self.tell(&Event::UsageUnknown {
                ledger: &self.ledger,
                tenant,
                error: &StoreError::new(*kind, &**reason),
            });
        }
        deny_all(entry);
    }

    /// Another process took this node's name. What requests have reserved stays theirs; nothing more is given out.
    fn superseded(&self, accounts: &Accounts) {
        if self.is_superseded.swap(true, Relaxed) {
            return;
        }
        self.tell(&Event::NodeSuperseded {
            ledger: &self.ledger,
            node: &self.settings.node,
        });
        for entry in accounts.table.entries() {
            entry.balance.charge_up_to(LEASED, LEASED);
            deny_all(&entry);
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        notify(&self.observers, event);
    }
}

fn deny_all(entry: &Entry) {
    with_lease(entry, |lease| {
        for waiter in lease.waiting.drain(..) {
            waiter.resolve(Err(Denied::new(DeniedKind::Unknown)));
        }
    });
}

/// Removes a tenant that the record knows all about, unless there is a reference besides its lease.
fn remove_if_unused(entry: &Entry, slot: &mut Option<Lease>) {
    if entry.remove_if_unused(1) {
        *slot = None;
    }
}

/// A store that panics is like one that fails.
fn call<T>(action: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(action))
        .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Corrupt, "the store panicked")))
}
