use std::{
    fmt,
    ops::Deref,
    ptr,
    sync::{Arc, PoisonError, Weak},
};

use hashbrown::HashTable;

use super::{
    balance::{Balance, LEASED},
    lease::LeaseCell,
    name::Name,
};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{
        AtomicBool, AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        fence,
    },
};

/// One tenant of a [`Table`](super::table::Table).
///
/// The table keeps an entry while something is charged to it or a counted reference exists, and then removes it: names
/// come from clients. An entry that was removed is never used again; its tenant gets a new one.
pub(crate) struct Entry {
    pub(super) name: Name,
    pub(super) hash: u64,
    pub(super) balance: Balance,
    /// Counted references and the lease. Rises from 0 under the lock of the shard, or while something is charged.
    references: AtomicU32,
    /// `None` in a table without leases.
    pub(super) lease: Option<Box<LeaseCell>>,
    /// The table's. Dangling once the ledger is gone.
    shards: Weak<Shards>,
}

impl Entry {
    /// An entry with nothing charged. `bound` is `None` where limits are leased.
    pub(super) fn new(name: &str, hash: u64, bound: Option<u64>, shards: &Arc<Shards>) -> Self {
        Self {
            name: Name::new(name),
            hash,
            balance: bound.map_or_else(Balance::leased, |bound| Balance::new(0, bound)),
            references: AtomicU32::new(0),
            lease: bound.is_none().then(Box::default),
            shards: Arc::downgrade(shards),
        }
    }

    /// Whether nothing is charged.
    #[inline]
    fn is_initial(&self) -> bool {
        self.balance.charged() == if self.lease.is_some() { LEASED } else { 0 }
    }

    /// Counts a reference. The caller has one, counted or not, or the lock of the shard.
    pub(super) fn retain(&self) {
        self.references.fetch_add(1, Relaxed);
    }

    /// Takes a counted reference back. Returns how many are left.
    fn unref(&self) -> u32 {
        self.references.fetch_sub(1, AcqRel) - 1
    }

    /// Removes the entry from its table if nothing is charged and no more than these references are counted. Returns
    /// whether it did.
    #[cold]
    pub(super) fn remove_if_unused(&self, references: u32) -> bool {
        let Some(shards) = self.shards.upgrade() else {
            return false;
        };
        // Pairs with the fence in the drop of a counted reference.
        fence(SeqCst);
        let mut shard = shards.lock(self.hash);
        // The charge is read before the count, because a reference counts itself before it gives its charge back, and once
        // more after it, because a counted reference may charge the entry before it is dropped.
        if !self.is_initial() || self.references.load(Acquire) != references || !self.is_initial() {
            return false;
        }
        let Ok(slot) = shard.find_entry(self.hash, |entry| ptr::eq(&**entry, self)) else {
            return false;
        };
        slot.remove();
        shards.tracked.fetch_sub(1, Relaxed);
        true
    }
}

/// A reference to an entry, which stays in its table as long as the reference lives. Usable after the ledger is gone.
///
/// A reference that comes with a charge is not counted, because the charge keeps the entry already and a count costs two
/// locked instructions a request. `Arc::strong_count` cannot replace the count: a thread cannot look at the entry once it
/// has dropped its `Arc`, so when two drop theirs at the same time, neither may find itself the last.
pub(crate) struct EntryRef {
    entry: Arc<Entry>,
    is_counted: AtomicBool,
}

impl EntryRef {
    /// A counted reference. The caller has the lock of the shard, or another reference.
    #[inline]
    pub(super) fn counted(entry: Arc<Entry>) -> Self {
        entry.retain();
        Self {
            entry,
            is_counted: AtomicBool::new(true),
        }
    }

    /// A reference that is not counted. The caller has the lock of the shard, and charges the entry before it unlocks.
    #[inline]
    pub(super) fn uncounted(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            is_counted: AtomicBool::new(false),
        }
    }

    /// Counts the reference, before the charge that kept the entry is given back.
    pub(super) fn ensure_counted(&self) {
        if !self.is_counted.load(Acquire) {
            self.entry.retain();
            if self.is_counted.swap(true, AcqRel) {
                self.entry.unref();
            }
        }
    }

    /// The tenant's name.
    pub(crate) fn tenant(&self) -> &str {
        self.entry.name.as_str()
    }
}

impl Deref for EntryRef {
    type Target = Arc<Entry>;

    #[inline]
    fn deref(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Clone for EntryRef {
    fn clone(&self) -> Self {
        Self::counted(self.entry.clone())
    }
}

impl Drop for EntryRef {
    #[inline]
    fn drop(&mut self) {
        if self.is_counted.load(Relaxed) {
            if self.entry.unref() > 0 {
                return;
            }
            // Either the load below sees that the last charge was given back, or the thread that gave it back sees that no
            // reference is left.
            fence(SeqCst);
        }
        if self.entry.is_initial() {
            self.entry.remove_if_unused(0);
        }
    }
}

impl fmt::Debug for EntryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntryRef").field(&self.tenant()).finish()
    }
}

/// Where the entries of a table are found.
pub(super) struct Shards {
    shards: Box<[Shard]>,
    /// The number of entries.
    pub(super) tracked: AtomicUsize,
}

type Entries = HashTable<Arc<Entry>>;

/// On a cache line of its own, so that neighbours do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Entries>);

impl Shards {
    /// `number` must be a power of two.
    pub(super) fn new(number: usize) -> Self {
        Self {
            shards: (0..number).map(|_| Shard::default()).collect(),
            tracked: AtomicUsize::new(0),
        }
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "their number is a power of two, so the mask stays below it"
    )]
    pub(super) fn lock(&self, hash: u64) -> MutexGuard<'_, Entries> {
        // The map below uses the lowest and the highest bits.
        lock(&self.shards[(hash >> 32) as usize & (self.shards.len() - 1)])
    }

    /// All entries, locking one shard after the other.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::with_capacity(self.tracked.load(Relaxed));
        for shard in &self.shards {
            entries.extend(lock(shard).iter().cloned());
        }
        entries
    }
}

#[inline]
fn lock(shard: &Shard) -> MutexGuard<'_, Entries> {
    // Sound after a panic: nothing between two of its changes can panic but an allocation.
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}
