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
    capacity::{Observer, Slab},
    clock::Clock,
    tenant::{Accounts, Denied, DeniedKind, Limit, StoreError, Usage, table::Place},
};

/// Keeps the leases of one node: asks the store for more, reports what was stored, gives back what lies idle.
///
/// It has no thread of its own; what threads do with it, or a test, is in `exchange.rs`.
pub(in crate::tenant) struct Keeper {
    /// Beside the entries of the table, by the same index.
    pub(super) cells: Slab<Cell>,
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

/// What one tenant has beside its entry.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// Charges beyond this ask for more ahead of time. 0 in a cell that nobody has used.
    pub(super) refill_above: AtomicU64,
    pub(super) lease: Mutex<Option<Box<Lease>>>,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Somebody waits.
    pub(super) urgent: VecDeque<Place>,
    pub(super) later: VecDeque<(Place, Occasion)>,
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
    pub(super) place: Place,
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
            cells: Slab::new(),
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

    /// Whether a charge that left this much charged should ask for more ahead of time.
    #[inline]
    pub(in crate::tenant) fn note_charge(&self, accounts: &Accounts, place: Place, charged: u64) {
        let cell = self.cells.slot(place.index);
        if charged > cell.refill_above.load(Relaxed) {
            self.refill(accounts, cell, place);
        }
    }

    #[cold]
    fn refill(&self, accounts: &Accounts, cell: &Cell, place: Place) {
        cell.refill_above.store(u64::MAX, Relaxed);
        let mut lease = lock(&cell.lease);
        if let Some(lease) = self.lease_of(accounts, &mut lease, place) {
            lease.wants_refill = true;
            self.enqueue(lease, false);
        }
    }

    /// Asks for more without waiting for it.
    pub(in crate::tenant) fn ask(&self, accounts: &Accounts, place: Place) {
        self.refill(accounts, self.cells.slot(place.index), place);
    }

    /// Somebody waits for bytes that the lease does not have.
    pub(in crate::tenant) fn wait_for(
        &self,
        accounts: &Accounts,
        place: Place,
        bytes: u64,
    ) -> Result<Arc<Waiter>, Result<(), Denied>> {
        let entry = accounts.table.entry(place.index);
        let mut lease = lock(&self.cells.slot(place.index).lease);
        let Some(lease) = self.lease_of(accounts, &mut lease, place) else {
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        };
        if self.is_superseded.load(Relaxed) {
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        }
        if self.health.is_unreachable() {
            self.enqueue(lease, false);
            let configured = accounts.limits.limit_of(&lease.tenant);
            return Err(lease.decide_alone(entry, bytes, self.settings.unreachable, configured));
        }
        let mut deadlines = lock(&self.deadlines);
        if lock(&self.queue).stopping {
            // Nobody would answer. Looked at under the lock of those who are told that it is over.
            return Err(Err(Denied::new(DeniedKind::Unknown)));
        }
        let waiter = Arc::new(Waiter::new(bytes));
        lease.waiting.push_back(waiter.clone());
        self.enqueue(lease, true);
        let at = self.clock.now().saturating_add(self.settings.patience);
        deadlines.push_back(Deadline {
            at,
            place,
            waiter: waiter.clone(),
        });
        if deadlines.len() == 1 {
            self.due.notify_one();
        }
        Ok(waiter)
    }

    /// Something was stored, deleted or given back that others may wait to hear of.
    pub(in crate::tenant) fn note_change(&self, accounts: &Accounts, place: Place, credited: u64) {
        let mut lease = lock(&self.cells.slot(place.index).lease);
        let Some(lease) = self.lease_of(accounts, &mut lease, place) else {
            return;
        };
        lease.credit(credited);
        if self.settings.is_shared {
            self.enqueue(lease, false);
        }
    }

    /// Whether the end of a request is told at once.
    #[inline]
    pub(in crate::tenant) fn tells_ends(&self) -> bool {
        self.settings.chunk == 0 && self.settings.is_shared
    }

    pub(in crate::tenant) fn usage(&self, accounts: &Accounts, place: Place, tenant: &str) -> Option<Usage> {
        let entry = accounts.table.entry(place.index);
        self.with_lease(place, |lease| lease.usage(entry, accounts.limits.limit_of(tenant)))
    }

    /// This node's share, and what all have stored, once the record has been read.
    pub(in crate::tenant) fn shares(&self, accounts: &Accounts, place: Place) -> Option<(i64, i128)> {
        let stored = accounts.table.entry(place.index).used();
        self.with_lease(place, |lease| Some((lease.share(stored)?, lease.sum(stored))))?
    }

    /// What this node has leased of a tenant's limit.
    pub(in crate::tenant) fn hold(&self, place: Place) -> u64 {
        self.with_lease(place, |lease| lease.hold()).unwrap_or(0)
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

    /// Does something with the lease of the tenant whose entry lies there, if there is one.
    pub(super) fn with_lease<T>(&self, place: Place, action: impl FnOnce(&mut Lease) -> T) -> Option<T> {
        let mut slot = lock(&self.cells.slot(place.index).lease);
        slot.as_deref_mut().filter(|lease| lease.place == place).map(action)
    }

    /// The tenant's lease, made if there is none. It holds a reference to the entry.
    fn lease_of<'a>(
        &self,
        accounts: &Accounts,
        cell: &'a mut Option<Box<Lease>>,
        place: Place,
    ) -> Option<&'a mut Lease> {
        if cell.is_none() {
            let tenant = accounts.table.name_of(place)?;
            accounts.table.refer_again(place);
            *cell = Some(Box::new(Lease::new(
                tenant.into(),
                place,
                self.incarnation.load(Relaxed),
            )));
        }
        cell.as_deref_mut()
    }

    pub(super) fn enqueue(&self, lease: &mut Lease, is_urgent: bool) {
        match &mut lease.stage {
            Stage::InFlight { again } => *again = true,
            Stage::Queued { urgent } if *urgent || !is_urgent => {}
            stage => {
                *stage = Stage::Queued { urgent: is_urgent };
                let mut queue = lock(&self.queue);
                if is_urgent {
                    queue.urgent.push_back(lease.place);
                } else {
                    queue.later.push_back((lease.place, Occasion::Asked));
                }
                self.work.notify_one();
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
