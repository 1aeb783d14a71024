use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use hashbrown::HashTable;

use super::{entry::Entry, name::Name};
use crate::capacity::Slab;

/// The tenants that have something stored or reserved, by name.
///
/// Names are found under the lock of one of many shards; their entries lie beside and are charged without a lock. The
/// hasher differs from process to process and resists chosen names: they come from clients.
pub(super) struct Table {
    shards: Box<[Shard]>,
    entries: Slab<Entry>,
    hasher: RandomState,
    tracked: AtomicUsize,
    capacity: usize,
    /// What is charged to a tenant of whom nothing is known.
    blank: u64,
}

/// On a cache line of its own, so that neighbours do not slow each other down.
#[repr(align(64))]
struct Shard(Mutex<HashTable<Line>>);

#[derive(Debug)]
struct Line {
    name: Name,
    index: u32,
}

/// Where an entry lies. Whoever has one keeps the entry there: by a reference, which [`Table::leave`] gives back, or by
/// what is charged to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) index: u32,
    hash: u64,
    is_reference: bool,
}

/// Marks, among the bits of an index, that the place is no reference. Indices stay below half a thousand million.
const NO_REFERENCE: u32 = 1 << 31;

/// Why nothing was charged.
pub(super) enum Short {
    /// There are too many tenants.
    NoRoom,
    /// The bound does not allow it.
    Beyond(u64),
}

impl Place {
    /// As two numbers, for a slot of atomics.
    pub(crate) const fn to_parts(self) -> (u32, u64) {
        let mark = if self.is_reference { 0 } else { NO_REFERENCE };
        (self.index | mark, self.hash)
    }

    /// Back from the numbers.
    pub(crate) const fn from_parts(index: u32, hash: u64) -> Self {
        Self {
            index: index & !NO_REFERENCE,
            hash,
            is_reference: index & NO_REFERENCE == 0,
        }
    }

    /// A place whose holder has a reference.
    const fn referred(index: u32, hash: u64) -> Self {
        Self {
            index,
            hash,
            is_reference: true,
        }
    }
}

impl Table {
    /// For at most `capacity` tenants, whose accounts begin with `blank` charged.
    pub(super) fn new(capacity: usize, blank: u64) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shards = (cores * 16).next_power_of_two().clamp(16, 1024);
        Self {
            shards: (0..shards).map(|_| Shard(Mutex::default())).collect(),
            entries: Slab::new(),
            hasher: RandomState::new(),
            tracked: AtomicUsize::new(0),
            capacity,
            blank,
        }
    }

    /// Finds a tenant.
    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shard(hash);
        let index = shard.find(hash, |line| line.name.is(name))?.index;
        self.entry(index).refer();
        Some(Place::referred(index, hash))
    }

    /// Finds a tenant, or makes room for it; `bound` tells up to where it may be charged, under the lock of its shard.
    /// `None` when there are too many.
    #[inline]
    pub(super) fn acquire(&self, name: &str, bound: impl FnOnce() -> u64) -> Option<Place> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.shard(hash);
        let index = match shard.find(hash, |line| line.name.is(name)) {
            Some(line) => line.index,
            None => self.insert(&mut shard, hash, name, bound)?,
        };
        self.entry(index).refer();
        Some(Place::referred(index, hash))
    }

    /// Charges a tenant, whom it finds or makes room for. That is done under the lock, so that the charge keeps the entry
    /// by itself: a reference would cost as much as the charge. For tables of which blank entries have nothing charged,
    /// and for more than no bytes.
    #[inline]
    pub(super) fn charge(
        &self,
        name: &str,
        bytes: u64,
        default: u64,
        bound: impl FnOnce() -> u64,
    ) -> Result<Place, Short> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.shard(hash);
        let index = match shard.find(hash, |line| line.name.is(name)) {
            Some(line) => line.index,
            None => self.insert(&mut shard, hash, name, bound).ok_or(Short::NoRoom)?,
        };
        let entry = self.entry(index);
        let bound = entry.bound(default);
        let place = Place {
            index,
            hash,
            is_reference: false,
        };
        if entry.try_charge(bytes, bound).is_some() {
            return Ok(place);
        }
        drop(shard);
        self.forget_if_blank(place);
        Err(Short::Beyond(bound))
    }

    #[cold]
    fn insert(&self, shard: &mut HashTable<Line>, hash: u64, name: &str, bound: impl FnOnce() -> u64) -> Option<u32> {
        if self.tracked.fetch_add(1, Relaxed) >= self.capacity {
            self.tracked.fetch_sub(1, Relaxed);
            return None;
        }
        let Some(index) = self.entries.take() else {
            self.tracked.fetch_sub(1, Relaxed);
            return None;
        };
        self.entry(index).open(self.blank, bound());
        let name = Name::new(name);
        shard.insert_unique(hash, Line { name, index }, |line| {
            self.hasher.hash_one(line.name.as_str())
        });
        Some(index)
    }

    /// Gives a reference back. When it was the last and nothing is charged, the tenant is forgotten.
    #[inline]
    pub(super) fn leave(&self, place: Place) {
        if self.entry(place.index).unrefer() == 0 {
            self.forget_if_blank(place);
        }
    }

    /// Forgets the tenant if nothing is charged and nobody refers to it.
    #[inline]
    pub(super) fn forget_if_blank(&self, place: Place) {
        // The entry may be somebody else's by now; what is seen of it here is only a hint.
        if self.is_blank(self.entry(place.index)) {
            self.forget(place, 0);
        }
    }

    /// Lets go of an account from which a reservation was taken back.
    #[inline]
    pub(super) fn let_go(&self, place: Place) {
        if place.is_reference {
            self.leave(place);
        } else {
            self.forget_if_blank(place);
        }
    }

    /// Gives the reference back only if it is the last and nothing is charged, and forgets the tenant then. Tells whether
    /// it did.
    pub(super) fn retire(&self, place: Place) -> bool {
        self.forget(place, 1)
    }

    /// Whoever finds nothing charged and these references left is the last; more are given out under the lock only.
    #[cold]
    fn forget(&self, place: Place, references: u32) -> bool {
        let mut shard = self.shard(place.hash);
        let Ok(line) = shard.find_entry(place.hash, |line| line.index == place.index) else {
            return false;
        };
        let entry = self.entry(place.index);
        let is_last = entry.references() == references && self.is_blank(entry);
        if is_last {
            line.remove();
            self.entries.put(place.index);
            self.tracked.fetch_sub(1, Relaxed);
        }
        is_last
    }

    #[inline]
    fn is_blank(&self, entry: &Entry) -> bool {
        entry.charged() == self.blank
    }

    /// Another reference to an entry that the caller has one of.
    pub(super) fn refer_again(&self, place: Place) {
        self.entry(place.index).refer();
    }

    /// The name of the tenant whose entry lies there.
    pub(super) fn name_of(&self, place: Place) -> Option<Box<str>> {
        let shard = self.shard(place.hash);
        let line = shard.find(place.hash, |line| line.index == place.index)?;
        Some(line.name.as_str().into())
    }

    /// Does something under the lock of a tenant's shard, if it is here.
    pub(super) fn with_locked(&self, name: &str, action: impl FnOnce(Option<&Entry>)) {
        let hash = self.hasher.hash_one(name);
        let shard = self.shard(hash);
        action(
            shard
                .find(hash, |line| line.name.is(name))
                .map(|line| self.entry(line.index)),
        );
    }

    /// The tenants of one shard after the other; each is visited under the lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&str, Place, &Entry)) {
        for shard in &self.shards {
            for line in lock(shard).iter() {
                let hash = self.hasher.hash_one(line.name.as_str());
                let index = line.index;
                visit(line.name.as_str(), Place::referred(index, hash), self.entry(index));
            }
        }
    }

    /// Where the entries of all tenants lie, without references to them.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        self.for_each(|_, place, _| places.push(place));
        places
    }

    #[inline]
    pub(super) fn entry(&self, index: u32) -> &Entry {
        self.entries.slot(index)
    }

    /// How many tenants are in the table.
    pub(super) fn tracked(&self) -> usize {
        self.tracked.load(Relaxed)
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "their number is a power of two, so the mask stays below it"
    )]
    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Line>> {
        // The table below goes by the lowest and the highest bits.
        lock(&self.shards[(hash >> 32) as usize & (self.shards.len() - 1)])
    }
}

#[inline]
fn lock(shard: &Shard) -> MutexGuard<'_, HashTable<Line>> {
    // Sound after a panic: nothing between two of its changes can panic but an allocation.
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("tracked", &self.tracked())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unbounded() -> u64 {
        u64::MAX
    }

    #[test]
    fn a_place_is_the_same_from_its_numbers() {
        let table = Table::new(9, 0);
        let referred = table.acquire("a", unbounded).expect("room");
        let Ok(charged) = table.charge("b", 5, 0, unbounded) else {
            panic!("there is room");
        };
        assert!(referred.is_reference && !charged.is_reference);
        for place in [referred, charged] {
            let (index, hash) = place.to_parts();
            assert_eq!(Place::from_parts(index, hash), place);
        }
    }

    #[test]
    fn a_tenant_stays_while_it_is_referred_to_or_charged() {
        let table = Table::new(9, 0);
        let referred = table.acquire("a", unbounded).expect("room");
        table.forget_if_blank(referred);
        assert_eq!(table.tracked(), 1, "referred to");
        let Ok(charged) = table.charge("a", 5, 0, unbounded) else {
            panic!("there is room");
        };
        table.leave(referred);
        table.let_go(charged);
        assert_eq!(table.tracked(), 1, "charged");
        table.entry(charged.index).release(5);
        table.let_go(charged);
        assert_eq!(table.tracked(), 0);
        assert_eq!(table.find("a"), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let table = Table::new(2, 0);
        let first = table.acquire("a", unbounded).expect("room");
        table.acquire("b", unbounded).expect("room");
        assert_eq!(table.acquire("c", unbounded), None);
        assert!(matches!(table.charge("c", 1, 0, unbounded), Err(Short::NoRoom)));
        table.leave(first);
        assert!(table.acquire("c", unbounded).is_some());
        assert_eq!(table.tracked(), 2);
    }
}
