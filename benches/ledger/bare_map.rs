use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed},
    },
    thread,
};

use hashbrown::HashTable;

/// The least that could do the job: names to accounts, under the same hasher and as many locks as the ledger's.
pub(crate) struct BareMap<A> {
    shards: Box<[Shard<A>]>,
    hasher: RandomState,
}

#[repr(align(64))]
struct Shard<A>(Mutex<HashTable<(Box<str>, A)>>);

/// Accounts that are looked up once: a reservation holds its own.
pub(crate) type Counters = BareMap<Arc<AtomicU64>>;
/// Accounts that are looked up for a reservation and again for its release, and changed under the lock.
pub(crate) type Figures = BareMap<u64>;

pub(crate) const LIMIT: u64 = 1 << 40;

impl<A> BareMap<A> {
    pub(crate) fn new(names: &[String], account: impl Fn() -> A) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shards = (cores * 16).next_power_of_two().clamp(16, 1024);
        let map = Self {
            shards: (0..shards).map(|_| Shard(Mutex::default())).collect(),
            hasher: RandomState::new(),
        };
        for name in names {
            let hash = map.hasher.hash_one(name.as_str());
            let rehash = |line: &(Box<str>, _)| map.hasher.hash_one(&*line.0);
            let line = (name.as_str().into(), account());
            map.shard(hash).lock().unwrap().insert_unique(hash, line, rehash);
        }
        map
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<(Box<str>, A)>> {
        // Not the bits that find the place in the shard.
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }
}

impl Counters {
    pub(crate) fn reserve(&self, name: &str, bytes: u64) -> Option<Counted> {
        let hash = self.hasher.hash_one(name);
        let charged = {
            let shard = self.shard(hash).lock().unwrap();
            shard.find(hash, |line| &*line.0 == name)?.1.clone()
        };
        let mut now = charged.load(Relaxed);
        while now + bytes <= LIMIT {
            match charged.compare_exchange_weak(now, now + bytes, AcqRel, Relaxed) {
                Ok(_) => return Some(Counted { charged, bytes }),
                Err(other) => now = other,
            }
        }
        None
    }
}

/// Gives the bytes back when it is dropped.
pub(crate) struct Counted {
    charged: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.charged.fetch_sub(self.bytes, AcqRel);
    }
}

impl Figures {
    pub(crate) fn reserve<'a>(&'a self, name: &'a str, bytes: u64) -> Option<Written<'a>> {
        let hash = self.hasher.hash_one(name);
        let mut shard = self.shard(hash).lock().unwrap();
        let charged = &mut shard.find_mut(hash, |line| &*line.0 == name)?.1;
        if *charged + bytes > LIMIT {
            return None;
        }
        *charged += bytes;
        Some(Written { map: self, name, bytes })
    }
}

/// Gives the bytes back when it is dropped.
pub(crate) struct Written<'a> {
    map: &'a Figures,
    name: &'a str,
    bytes: u64,
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        let hash = self.map.hasher.hash_one(self.name);
        let mut shard = self.map.shard(hash).lock().unwrap();
        if let Some(line) = shard.find_mut(hash, |line| &*line.0 == self.name) {
            line.1 -= self.bytes;
        }
    }
}
