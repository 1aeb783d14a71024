use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    thread,
};

use hashbrown::HashTable;

use super::entry::{Entry, EntryRef, Shards};
use crate::sync::atomic::Ordering::Relaxed;

/// The tenants that have something stored or reserved, by name.
///
/// Names are found under the lock of one of many shards; entries are charged without a lock. The hasher differs from
/// process to process and resists chosen names: they come from clients.
pub(super) struct Table {
    shards: Arc<Shards>,
    hasher: RandomState,
    capacity: usize,
    is_leased: bool,
}

/// Why nothing was charged.
pub(super) enum Short {
    /// There are too many tenants.
    NoRoom,
    /// The bound does not allow it.
    Beyond(u64),
}

impl Table {
    /// A table of at most `capacity` tenants.
    pub(super) fn new(capacity: usize, is_leased: bool) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            shards: Arc::new(Shards::new((cores * 16).next_power_of_two().clamp(16, 1024))),
            hasher: RandomState::new(),
            capacity,
            is_leased,
        }
    }

    /// Finds a tenant.
    pub(super) fn find(&self, name: &str) -> Option<EntryRef> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.lock(hash);
        let entry = shard.find(hash, |entry| entry.name.is(name))?;
        Some(EntryRef::counted(entry.clone()))
    }

    /// Finds a tenant, or adds it: `bound` returns its limit and is called under the lock of the shard. `None` when there
    /// are too many.
    #[inline]
    pub(super) fn acquire(&self, name: &str, bound: impl FnOnce() -> u64) -> Option<EntryRef> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.shards.lock(hash);
        let entry = self.find_or_insert(&mut shard, hash, name, bound)?;
        Some(EntryRef::counted(entry))
    }

    /// Finds a tenant or adds it, and charges it. `bytes` must not be 0, nor the table leased.
    #[inline]
    pub(super) fn charge(
        &self,
        name: &str,
        bytes: u64,
        default: u64,
        bound: impl FnOnce() -> u64,
    ) -> Result<EntryRef, Short> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.shards.lock(hash);
        let entry = self
            .find_or_insert(&mut shard, hash, name, bound)
            .ok_or(Short::NoRoom)?;
        let entry = EntryRef::uncounted(entry);
        let bound = entry.balance.bound(default);
        let is_charged = entry.balance.try_charge(bytes, bound).is_some();
        // Before the reference, whose drop may need the lock.
        drop(shard);
        if is_charged {
            Ok(entry)
        } else {
            Err(Short::Beyond(bound))
        }
    }

    #[inline]
    fn find_or_insert(
        &self,
        shard: &mut HashTable<Arc<Entry>>,
        hash: u64,
        name: &str,
        bound: impl FnOnce() -> u64,
    ) -> Option<Arc<Entry>> {
        match shard.find(hash, |entry| entry.name.is(name)) {
            Some(entry) => Some(entry.clone()),
            None => self.insert(shard, hash, name, bound),
        }
    }

    #[cold]
    fn insert(
        &self,
        shard: &mut HashTable<Arc<Entry>>,
        hash: u64,
        name: &str,
        bound: impl FnOnce() -> u64,
    ) -> Option<Arc<Entry>> {
        let add = |tracked| (tracked < self.capacity).then_some(tracked + 1);
        self.shards.tracked.fetch_update(Relaxed, Relaxed, add).ok()?;
        let bound = (!self.is_leased).then(bound);
        let entry = Arc::new(Entry::new(name, hash, bound, &self.shards));
        shard.insert_unique(hash, entry.clone(), |entry| entry.hash);
        Some(entry)
    }

    /// Sets a tenant's limit, if the tenant is here. `bound` is called under the lock of the shard, so that an insertion at
    /// the same time cannot bring back the former limit.
    pub(super) fn set_bound(&self, name: &str, bound: impl FnOnce() -> u64) {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.lock(hash);
        if let Some(entry) = shard.find(hash, |entry| entry.name.is(name)) {
            entry.balance.set_bound(bound());
        }
    }

    /// The entries of all tenants, which may be removed at any time.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.shards.entries()
    }

    /// The number of tenants.
    pub(super) fn tracked(&self) -> usize {
        self.shards.tracked.load(Relaxed)
    }
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
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    fn acquire(table: &Table, name: &str) -> Option<EntryRef> {
        table.acquire(name, || u64::MAX)
    }

    fn charge(table: &Table, name: &str, bytes: u64) -> Result<EntryRef, Short> {
        table.charge(name, bytes, 0, || u64::MAX)
    }

    fn charged(table: &Table, name: &str, bytes: u64) -> EntryRef {
        charge(table, name, bytes).unwrap_or_else(|_| panic!("there is room"))
    }

    #[test]
    fn a_tenant_stays_while_referenced_or_charged() {
        let table = Table::new(9, false);
        let referenced = acquire(&table, "a").expect("room");
        let charged = charged(&table, "a", 5);
        assert!(Arc::ptr_eq(&referenced, &charged));
        drop(referenced);
        assert_eq!(table.tracked(), 1, "charged");
        let referenced = table.find("a").expect("it is here");
        charged.balance.release(5);
        drop(charged);
        assert_eq!(table.tracked(), 1, "referenced");
        drop(referenced);
        assert_eq!(table.tracked(), 0);
        assert!(table.find("a").is_none());
    }

    #[test]
    fn a_clone_keeps_the_tenant() {
        let table = Table::new(9, false);
        let first = charged(&table, "a", 5);
        let second = first.clone();
        first.balance.release(5);
        drop(first);
        assert!(Arc::ptr_eq(&second, &acquire(&table, "a").expect("room")));
        drop(second.clone());
        assert_eq!(table.tracked(), 1);
        drop(second);
        assert_eq!(table.tracked(), 0);
    }

    #[test]
    fn a_refused_charge_leaves_no_tenant_behind() {
        let table = Table::new(9, false);
        assert!(matches!(table.charge("a", 6, 5, || 5), Err(Short::Beyond(5))));
        assert_eq!(table.tracked(), 0);
        let kept = charged(&table, "b", 1);
        assert!(charge(&table, "b", u64::MAX).is_err());
        assert_eq!((table.tracked(), kept.balance.charged()), (1, 1));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let table = Table::new(2, false);
        let first = acquire(&table, "a").expect("room");
        let _second = acquire(&table, "b").expect("room");
        assert!(acquire(&table, "c").is_none());
        assert!(matches!(charge(&table, "c", 1), Err(Short::NoRoom)));
        drop(first);
        assert!(acquire(&table, "c").is_some());
        assert_eq!(table.tracked(), 1);
    }

    #[test]
    fn a_leased_tenant_begins_with_nothing_leased() {
        let table = Table::new(9, true);
        let entry = table.acquire("a", || 7).expect("room");
        assert!(entry.lease.is_some());
        assert!(entry.balance.try_charge(1, entry.balance.bound(0)).is_none());
        drop(entry);
        assert_eq!(table.tracked(), 0);
    }

    /// A second entry under the name would let a tenant have twice its limit.
    #[test]
    fn no_name_has_two_entries_while_one_is_in_use() {
        let table = Table::new(9, false);
        let uses: [&dyn Fn() -> EntryRef; 3] = [
            &|| acquire(&table, "a").expect("room"),
            &|| charged(&table, "a", 5).clone(),
            // Gives all back that it came with.
            &|| {
                let entry = charged(&table, "a", 5);
                entry.ensure_counted();
                entry.balance.release(5);
                entry
            },
        ];
        for make in uses {
            let old = make();
            for _ in 0..2 {
                let new = charged(&table, "a", 1);
                assert!(Arc::ptr_eq(&old, &new));
                new.balance.release(1);
            }
            old.balance.release(old.balance.charged());
        }
        assert_eq!(table.tracked(), 0);
    }

    #[test]
    fn a_removed_entry_changes_nothing_for_its_name() {
        let table = Table::new(9, false);
        // As a queue keeps it.
        let old = Arc::clone(&acquire(&table, "a").expect("room"));
        assert_eq!(table.tracked(), 0);
        let new = charged(&table, "a", 5);
        assert!(!Arc::ptr_eq(&old, &new));
        old.balance.charge(7);
        old.balance.release(7);
        assert!(!old.remove_if_unused(0));
        assert_eq!((table.tracked(), new.balance.charged()), (1, 5));
    }

    #[test]
    fn a_reference_outlives_its_table() {
        let table = Table::new(9, false);
        let counted = acquire(&table, "a").expect("room");
        let uncounted = charged(&table, "b", 5);
        drop(table);
        assert_eq!(counted.tenant(), "a");
        drop(counted.clone());
        uncounted.balance.release(5);
    }

    /// Each round ends with nothing in use, whatever order the threads came in.
    #[test]
    fn concurrent_use_leaves_no_tenant_behind() {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let table = Table::new(NAMES.len() - 1, false);
        let used = AtomicU64::new(0);
        for _ in 0..20 {
            thread::scope(|scope| {
                for worker in 0..8 {
                    let (table, used) = (&table, &used);
                    scope.spawn(move || {
                        for round in 0..500 {
                            let name = NAMES[(worker + round) % NAMES.len()];
                            match round % 4 {
                                0 => drop(acquire(table, name)),
                                1 => drop(table.find(name)),
                                _ => {
                                    let Ok(entry) = charge(table, name, 5) else { continue };
                                    let other = (round % 3 == 0).then(|| entry.clone());
                                    used.fetch_add(1, SeqCst);
                                    entry.balance.release(5);
                                    drop(entry);
                                    drop(other);
                                }
                            }
                            assert!(table.tracked() < NAMES.len());
                        }
                    });
                }
            });
            assert_eq!((table.tracked(), table.entries().len()), (0, 0));
        }
        assert!(used.into_inner() > 0);
    }

    /// Bytes charged at one entry are seen by all: nobody has an entry that the table has forgotten.
    #[test]
    fn concurrent_charges_of_a_name_meet_at_one_entry() {
        const LIMIT: u64 = 10;
        let table = Table::new(1, false);
        let held = AtomicU64::new(0);
        thread::scope(|scope| {
            for worker in 0..4 {
                let (table, held) = (&table, &held);
                scope.spawn(move || {
                    for round in 0..5000 {
                        let bytes = 1 + (worker + round) % 6;
                        let Ok(entry) = table.charge("a", bytes, 0, || LIMIT) else {
                            continue;
                        };
                        assert!(held.fetch_add(bytes, SeqCst) + bytes <= LIMIT);
                        held.fetch_sub(bytes, SeqCst);
                        entry.balance.release(bytes);
                    }
                });
            }
        });
        assert_eq!((table.tracked(), table.entries().len()), (0, 0));
    }
}
