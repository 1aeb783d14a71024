use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed},
    },
    thread,
};

use hashbrown::HashTable;

/// The least that could do the job: names to counters, under the same hasher and as many locks as the ledger's.
pub(crate) struct BareMap {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

#[repr(align(64))]
struct Shard(Mutex<HashTable<(Box<str>, Arc<AtomicU64>)>>);

pub(crate) const LIMIT: u64 = 1 << 40;

impl BareMap {
    pub(crate) fn new(names: &[String]) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shards = (cores * 16).next_power_of_two().clamp(16, 1024);
        let map = Self {
            shards: (0..shards).map(|_| Shard(Mutex::default())).collect(),
            hasher: RandomState::new(),
        };
        for name in names {
            let hash = map.hasher.hash_one(name.as_str());
            let line = (name.as_str().into(), Arc::new(AtomicU64::new(1)));
            let rehash = |line: &(Box<str>, _)| map.hasher.hash_one(&*line.0);
            map.shard(hash).lock().unwrap().insert_unique(hash, line, rehash);
        }
        map
    }

    pub(crate) fn reserve(&self, name: &str, bytes: u64) -> Option<Reserved> {
        let hash = self.hasher.hash_one(name);
        let charged = {
            let shard = self.shard(hash).lock().unwrap();
            shard.find(hash, |line| &*line.0 == name)?.1.clone()
        };
        let mut now = charged.load(Relaxed);
        while now + bytes <= LIMIT {
            match charged.compare_exchange_weak(now, now + bytes, AcqRel, Relaxed) {
                Ok(_) => return Some(Reserved { charged, bytes }),
                Err(other) => now = other,
            }
        }
        None
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<(Box<str>, Arc<AtomicU64>)>> {
        // Not the bits that find the place in the shard.
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }
}

/// Gives the bytes back when it is dropped.
pub(crate) struct Reserved {
    charged: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.charged.fetch_sub(self.bytes, AcqRel);
    }
}
