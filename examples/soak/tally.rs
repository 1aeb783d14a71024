//! What is counted while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) server: ServerSide,
    pub(crate) clients: ClientSide,
    /// When the storage itself was full for a handler.
    full: Mutex<Vec<StorageFull>>,
    /// When others filled the disk faster than the floor covers.
    bursts: Mutex<Vec<Burst>>,
    /// What should not be. The first ones; all are counted.
    complaints: Mutex<Vec<String>>,
    complained: AtomicU64,
}

/// Outside of the guard.
#[derive(Debug, Default)]
pub(crate) struct ServerSide {
    pub(crate) entered: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Dropped, because the client was gone.
    pub(crate) given_up: AtomicU64,
    /// Refusals over HTTP/1, after which the connection closes in a moment.
    closing: Mutex<BTreeSet<u64>>,
}

#[derive(Debug, Default)]
pub(crate) struct ClientSide {
    pub(crate) sent: AtomicU64,
    pub(crate) answered: AtomicU64,
    /// Cut off by the client, on purpose.
    pub(crate) cut: AtomicU64,
    /// Refused, and not fast enough to read that before the connection closed.
    pub(crate) unread: AtomicU64,
    /// No answer came.
    pub(crate) lost: AtomicU64,
    pub(crate) bytes: AtomicU64,
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

/// A handler that found the storage full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageFull {
    /// When its request came, before it was admitted.
    pub(crate) came: Instant,
    pub(crate) failed: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) began: Instant,
    /// A measurement has seen all of it.
    pub(crate) seen: Option<Instant>,
}

/// More would not tell more.
const COMPLAINTS: usize = 20;

impl Tally {
    pub(crate) fn storage_full(&self, came: Instant) {
        let failed = Instant::now();
        lock(&self.full).push(StorageFull { came, failed });
    }

    pub(crate) fn burst_begins(&self) {
        let burst = Burst {
            began: Instant::now(),
            seen: None,
        };
        lock(&self.bursts).push(burst);
    }

    pub(crate) fn burst_is_seen(&self) {
        if let Some(burst) = lock(&self.bursts).last_mut() {
            burst.seen = Some(Instant::now());
        }
    }

    /// How many handlers found the storage full in all, and how many of them were not admitted before others had filled
    /// it and before that could be known.
    pub(crate) fn storage_full_so_far(&self) -> (usize, usize) {
        let (full, bursts) = (lock(&self.full), lock(&self.bursts));
        let excused = |full: &&StorageFull| {
            let by = |burst: &Burst| full.failed >= burst.began && burst.seen.is_none_or(|seen| full.came <= seen);
            bursts.iter().any(by)
        };
        (full.len(), full.len() - full.iter().filter(excused).count())
    }

    pub(crate) fn complain(&self, what: String) {
        self.complained.fetch_add(1, Relaxed);
        let mut complaints = lock(&self.complaints);
        if complaints.len() < COMPLAINTS {
            complaints.push(what);
        }
    }

    pub(crate) fn complaints(&self) -> (u64, Vec<String>) {
        (self.complained.load(Relaxed), lock(&self.complaints).clone())
    }
}

impl ServerSide {
    pub(crate) fn closes_after(&self, number: u64) {
        lock(&self.closing).insert(number);
    }

    pub(crate) fn has_closed_after(&self, number: u64) -> bool {
        lock(&self.closing).contains(&number)
    }

    /// When no request is under way.
    pub(crate) fn forget_closing(&self) {
        lock(&self.closing).clear();
    }
}

impl ClientSide {
    pub(crate) fn answer(&self, action: &'static str, status: u16) {
        self.answered.fetch_add(1, Relaxed);
        *lock(&self.answers).entry((action, status)).or_default() += 1;
    }

    pub(crate) fn answers(&self) -> BTreeMap<(&'static str, u16), u64> {
        lock(&self.answers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
