#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use super::{
    LeaseSettings,
    health::Health,
    lease::{Lease, Occasion, Stage},
    waiter::Waiter,
};
use crate::{
    capacity::Observer,
    clock::Clock,
    tenant::{Accounts, Denied, DeniedKind, Limit, StoreError, Usage, entry::Entry},
};

/// Keeps the leases of one node: asks the store for more, reports what was stored, gives back what lies idle.
///
/// It has no thread of its own; what threads do with it, or a test, is in `exchange.rs`.
pub(in crate::tenant) struct Keeper {
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    pub(super) deadlines: Mutex<VecDeque<Deadline>>,
    pub(super) due: Condvar,
    /// For events.
    pub(super) ledger: Arc<str>,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) settings: LeaseSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(in crate::tenant) health: Health,
    /// Later than the start, once this node was forgotten somewhere: a new lease must not look like an earlier start.
    pub(super) incarnation: AtomicU64,
    pub(super) sequence: AtomicU64,
    /// Another process goes by this node's name: nothing is leased any more.
    pub(super) is_superseded: AtomicBool,
}

/// The tenants to tell the store about. They are not counted as references, so that a tenant without a lease can be removed.
#[derive(Default)]
pub(super) struct Queue {
    /// Requests wait for these.
    pub(super) urgent: VecDeque<Arc<Entry>>,
    pub(super) later: VecDeque<(Arc<Entry>, Occasion)>,
    pub(super) commands: VecDeque<Command>,
    pub(super) next_heartbeat: Duration,
    /// After a failure the store is left alone until then.
    pub(super) not_before: Duration,
    pub(super) backoff: Duration,
    pub(super) stopping: bool,
}

/// A limit to set in the store, and where to say what became of it.
pub(super) struct Command {
    pub(super) tenant: Box<str>,
    pub(super) limit: Option<Limit>,
    pub(super) reply: mpsc::SyncSender<Result<(), StoreError>>,
}

pub(super) struct Deadline {
    pub(super) at: Duration,
    pub(super) entry: Arc<Entry>,
    pub(super) waiter: Arc<Waiter>,
}

impl Keeper {
    pub(in crate::tenant) fn new(
        ledger: Arc<str>,
        observers: Vec<Arc<dyn Observer>>,
        settings: LeaseSettings,
        clock: Arc<dyn Clock>,
        incarnation: u64,
    ) -> Self {
        let next_heartbeat = clock.now().saturating_add(settings.heartbeat);
        Self {
            queue: Mutex::new(Queue {
                next_heartbeat,
                ..Queue::default()
            }),
            work: Condvar::new(),
            deadlines: Mutex::default(),
            due: Condvar::new(),
            ledger,
            observers,
            settings,
            clock,
            health: Health::default(),
            incarnation: AtomicU64::new(incarnation),
            sequence: AtomicU64::new(0),
            is_superseded: AtomicBool::new(false),
        }
    }

    /// Asks for more ahead of time if a charge that left this much charged calls for it.
    #[inline]
    pub(in crate::tenant) fn note_charge(&self, entry: &Arc<Entry>, charged: u64) {
        if let Some(cell) = &entry.lease {
            if charged > cell.refill_above.load(Relaxed) {
                self.ask(entry);
            }
        }
    }

    /// Asks for more without waiting for it.
    #[cold]
    pub(in crate::tenant) fn ask(&self, entry: &Arc<Entry>) {
        let Some(cell) = &entry.lease else { return };
        cell.refill_above.store(u64::MAX, Relaxed);
        let mut slot = lock(&cell.lease);
        let lease = self.lease_of(entry, &mut slot);
        lease.wants_refill = true;
        self.enqueue(entry, lease, false);
    }

    /// Waits for bytes that the lease does not have. `Err` is the outcome where it is known at once.
    pub(in crate::tenant) fn wait_for(
        &self,
        accounts: &Accounts,
        entry: &Arc<Entry>,
        bytes: u64,
    ) -> Result<Arc<Waiter>, Result<(), Denied>> {
        let Some(cell) = &entry.lease else {
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        };
        let mut slot = lock(&cell.lease);
        let lease = self.lease_of(entry, &mut slot);
        if self.is_superseded.load(Relaxed) {
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        }
        if self.health.is_unreachable() {
            self.enqueue(entry, lease, false);
            let configured = accounts.limits.limit_of(&lease.tenant);
            return Err(lease.decide_alone(&entry.balance, bytes, self.settings.unreachable, configured));
        }
        let mut deadlines = lock(&self.deadlines);
        if lock(&self.queue).stopping {
            // Nobody would answer. Looked at under the lock of those who are told that it is over.
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        }
        let waiter = Arc::new(Waiter::new(bytes));
        lease.waiting.push_back(waiter.clone());
        self.enqueue(entry, lease, true);
        let at = self.clock.now().saturating_add(self.settings.patience);
        deadlines.push_back(Deadline {
            at,
            entry: entry.clone(),
            waiter: waiter.clone(),
        });
        if deadlines.len() == 1 {
            self.due.notify_one();
        }
        Ok(waiter)
    }

    /// Records that bytes were stored, credited or given back, which other nodes may wait for.
    pub(in crate::tenant) fn note_change(&self, entry: &Arc<Entry>, credited: u64) {
        let Some(cell) = &entry.lease else { return };
        let mut slot = lock(&cell.lease);
        let lease = self.lease_of(entry, &mut slot);
        lease.credit(credited);
        if self.settings.is_shared {
            self.enqueue(entry, lease, false);
        }
    }

    /// Whether the end of a request is told at once.
    #[inline]
    pub(in crate::tenant) fn tells_ends(&self) -> bool {
        self.settings.chunk == 0 && self.settings.is_shared
    }

    pub(in crate::tenant) fn usage(&self, entry: &Entry, configured: Limit) -> Option<Usage> {
        with_lease(entry, |lease| lease.usage(&entry.balance, configured))
    }

    /// This node's share, and what all have stored, once the record has been read.
    pub(in crate::tenant) fn shares(&self, entry: &Entry) -> Option<(i64, i128)> {
        let stored = entry.balance.used();
        with_lease(entry, |lease| Some((lease.share(stored)?, lease.sum(stored))))?
    }

    /// What this node has leased of a tenant's limit.
    pub(in crate::tenant) fn hold(&self, entry: &Entry) -> u64 {
        with_lease(entry, |lease| lease.hold()).unwrap_or(0)
    }

    /// Sets a limit in the store; the receiver hears what became of it.
    pub(in crate::tenant) fn set_limit(
        &self,
        tenant: &str,
        limit: Option<Limit>,
    ) -> mpsc::Receiver<Result<(), StoreError>> {
        let (reply, outcome) = mpsc::sync_channel(1);
        let mut queue = lock(&self.queue);
        if !queue.stopping {
            queue.commands.push_back(Command {
                tenant: tenant.into(),
                limit,
                reply,
            });
            self.work.notify_one();
        }
        outcome
    }

    /// The tenant's lease, made if there is none. The caller has a counted reference to the entry.
    fn lease_of<'a>(&self, entry: &Entry, slot: &'a mut Option<Lease>) -> &'a mut Lease {
        slot.get_or_insert_with(|| {
            entry.retain();
            Lease::new(entry.name.as_str().into(), self.incarnation.load(Relaxed))
        })
    }

    pub(super) fn enqueue(&self, entry: &Arc<Entry>, lease: &mut Lease, is_urgent: bool) {
        match &mut lease.stage {
            Stage::InFlight { again } => *again = true,
            Stage::Queued { urgent } if *urgent || !is_urgent => {}
            stage => {
                *stage = Stage::Queued { urgent: is_urgent };
                let mut queue = lock(&self.queue);
                if is_urgent {
                    queue.urgent.push_back(entry.clone());
                } else {
                    queue.later.push_back((entry.clone(), Occasion::Asked));
                }
                self.work.notify_one();
            }
        }
    }
}

/// Does something with the lease of a tenant, if there is one.
pub(super) fn with_lease<T>(entry: &Entry, action: impl FnOnce(&mut Lease) -> T) -> Option<T> {
    lock(&entry.lease.as_ref()?.lease).as_mut().map(action)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
