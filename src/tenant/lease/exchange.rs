//! The keeper's conversation with the store.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use super::{
    LeaseStore, MissingRecord, Seed, SyncReply, SyncRequest,
    keeper::{Cell, Keeper, lock},
    lease::{Lease, Next, Occasion, Stage, epoch},
};
use crate::{
    capacity::{Event, notify},
    tenant::{Accounts, Denied, DeniedKind, StoreError, StoreErrorKind, entry::LEASED, table::Place},
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
        for batch in accounts.table.places().chunks(BATCH) {
            let batch = batch.iter().map(|place| (*place, Occasion::Closing)).collect();
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
                if let Some(place) = accounts.table.find(&command.tenant) {
                    let recall = self.prepare(accounts, vec![(place, Occasion::Recall)]);
                    if !recall.is_empty() {
                        self.exchange(accounts, store, recall);
                    }
                    accounts.table.leave(place);
                }
            }
            // Whoever asked may have gone away.
            let _ = command.reply.send(outcome);
        }
    }

    fn take_batch(&self, accounts: &Accounts) -> Vec<(Place, Occasion)> {
        let now = self.clock.now();
        let is_beat = {
            let mut queue = lock(&self.queue);
            let is_beat = queue.next_heartbeat <= now;
            if is_beat {
                queue.next_heartbeat = now.saturating_add(self.settings.heartbeat);
            }
            is_beat
        };
        let mut beats = VecDeque::new();
        if is_beat {
            accounts
                .table
                .for_each(|_, place, _| beats.push_back((place, Occasion::Heartbeat)));
        }
        let mut queue = lock(&self.queue);
        if queue.not_before > now {
            queue.later.append(&mut beats);
            return Vec::new();
        }
        let mut batch: Vec<_> = (0..BATCH)
            .map_while(|_| queue.urgent.pop_front())
            .map(|place| (place, Occasion::Asked))
            .collect();
        queue.later.append(&mut beats);
        let more = (BATCH - batch.len()).min(queue.later.len());
        batch.extend(queue.later.drain(..more));
        batch
    }

    /// Writes the requests of those who have something to say.
    fn prepare(&self, accounts: &Accounts, batch: Vec<(Place, Occasion)>) -> Vec<(Place, SyncRequest)> {
        let now = self.clock.now();
        let mut requests = Vec::with_capacity(batch.len());
        for (place, occasion) in batch {
            let cell = self.cells.slot(place.index);
            let mut slot = lock(&cell.lease);
            let Some(lease) = slot.as_deref_mut().filter(|lease| lease.place == place) else {
                continue;
            };
            if let Stage::InFlight { again } = &mut lease.stage {
                *again = true;
                continue;
            }
            let entry = accounts.table.entry(place.index);
            lease.stage = Stage::Idle;
            if self.is_superseded.load(Relaxed) || (occasion != Occasion::Asked && lease.is_over(entry, &self.settings))
            {
                self.retire(accounts, cell, &mut slot, place);
                continue;
            }
            if occasion == Occasion::Heartbeat && !lease.beat(entry, &self.settings) {
                continue;
            }
            lease.stage = Stage::InFlight { again: false };
            let limit = accounts.limits.limit_of(&lease.tenant);
            let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
            requests.push((
                place,
                lease.prepare(entry, &self.settings, limit, sequence, occasion, now),
            ));
        }
        requests
    }

    /// Tells whether it succeeded.
    fn exchange(&self, accounts: &Accounts, store: &mut dyn LeaseStore, sent: Vec<(Place, SyncRequest)>) -> bool {
        let (places, requests): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
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
                for (place, reply) in places.into_iter().zip(replies) {
                    self.take_in(accounts, place, &reply);
                }
                true
            }
            Err(error) => {
                self.health.call_fails(now, &error);
                let mut queue = lock(&self.queue);
                queue.backoff = (queue.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
                queue.not_before = now.saturating_add(queue.backoff);
                drop(queue);
                for place in places {
                    self.with_lease(place, |lease| {
                        lease.failed();
                        self.enqueue(lease, !lease.waiting.is_empty());
                    });
                }
                false
            }
        }
    }

    fn take_in(&self, accounts: &Accounts, place: Place, reply: &SyncReply) {
        let cell = self.cells.slot(place.index);
        let entry = accounts.table.entry(place.index);
        let mut slot = lock(&cell.lease);
        let Some(lease) = slot.as_deref_mut().filter(|lease| lease.place == place) else {
            return;
        };
        let next = lease.take_in(entry, reply, &self.settings);
        self.incarnation.fetch_max(lease.incarnation, Relaxed);
        match next {
            Next::Again => self.enqueue(lease, !lease.waiting.is_empty()),
            Next::Nothing if lease.is_over(entry, &self.settings) => {
                return self.retire(accounts, cell, &mut slot, place);
            }
            Next::Nothing => {}
            Next::Seed => {
                let (tenant, is_lost) = (lease.tenant.clone(), lease.is_lost());
                // Measuring may take a while; reports need the lock.
                drop(slot);
                return self.seed(place, &tenant, is_lost);
            }
            Next::Superseded => {
                drop(slot);
                return self.superseded(accounts);
            }
            Next::Failed => {
                let tenant = lease.tenant.clone();
                drop(slot);
                return self.failed(place, &tenant, reply);
            }
        }
        let refill_above = lease.refill_above(entry, self.settings.chunk);
        cell.refill_above.store(refill_above, Relaxed);
    }

    fn seed(&self, place: Place, tenant: &str, is_lost: bool) {
        let (used, measured) = match &self.settings.missing {
            MissingRecord::StartAtZero => (0, false),
            MissingRecord::Refuse => return self.deny_all(place),
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
                        return self.deny_all(place);
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
        self.with_lease(place, |lease| {
            lease.plant(Seed { epoch, used, measured });
            self.enqueue(lease, true);
        });
    }

    /// Somebody has to act. Nobody waits for that, and the next heartbeat tries again.
    fn failed(&self, place: Place, tenant: &str, reply: &SyncReply) {
        if let SyncReply::Failed { kind, reason } = reply {
            self.tell(&Event::UsageUnknown {
                ledger: &self.ledger,
                tenant,
                error: &StoreError::new(*kind, &**reason),
            });
        }
        self.deny_all(place);
    }

    fn deny_all(&self, place: Place) {
        self.with_lease(place, |lease| {
            for waiter in lease.waiting.drain(..) {
                waiter.resolve(Err(Denied::new(DeniedKind::Unknown)));
            }
        });
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
        for place in accounts.table.places() {
            accounts.table.entry(place.index).charge_up_to(LEASED, LEASED);
            self.deny_all(place);
        }
    }

    /// Forgets a tenant of whom the record knows all, if nobody has come in the meantime.
    fn retire(&self, accounts: &Accounts, cell: &Cell, slot: &mut Option<Box<Lease>>, place: Place) {
        if accounts.table.retire(place) {
            *slot = None;
            cell.refill_above.store(0, Relaxed);
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        notify(&self.observers, event);
    }
}

/// A store that panics is like one that fails.
fn call<T>(action: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(action))
        .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Corrupt, "the store panicked")))
}
