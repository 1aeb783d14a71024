use std::sync::OnceLock;

use crate::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire},
};

/// A table that grows and whose entries do not move, so that one can be used while others are added.
#[derive(Debug)]
pub(crate) struct Chunks<T> {
    made: AtomicU32,
    /// Found by one comparison: few requests at once need more.
    first: OnceLock<Box<[T; FIRST as usize]>>,
    /// Chunk *k* has `FIRST << k` entries, of which number 0 is the first.
    others: [OnceLock<Box<[T]>>; CHUNKS],
}

const FIRST: u32 = 32;
const CHUNKS: usize = 24;
const CAPACITY: u32 = FIRST * ((1 << CHUNKS as u32) - 1);

impl<T: Default> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self {
            made: AtomicU32::new(0),
            first: OnceLock::new(),
            others: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// The index of an entry that nobody has used. `None` after half a thousand million.
    #[cold]
    pub(crate) fn make(&self) -> Option<u32> {
        let mut index = self.made.load(Acquire);
        loop {
            if index >= CAPACITY {
                return None;
            }
            match self.made.compare_exchange_weak(index, index + 1, AcqRel, Acquire) {
                Ok(_) => break,
                Err(now) => index = now,
            }
        }
        // Made by whoever comes first, before the index is given to anybody.
        self.at(index);
        Some(index)
    }

    /// How many were made.
    pub(crate) fn made(&self) -> u32 {
        self.made.load(Acquire)
    }

    /// The entry at an index that [`make`](Self::make) gave.
    #[inline(always)]
    pub(crate) fn at(&self, index: u32) -> &T {
        match self.first.get().map(|entries| entries.get(index as usize)) {
            Some(Some(entry)) => entry,
            _ => self.later_entry(index),
        }
    }

    #[cold]
    #[expect(
        clippy::indexing_slicing,
        reason = "indices come from `make`, which stays below the capacity"
    )]
    fn later_entry(&self, index: u32) -> &T {
        if index < FIRST {
            let entries = self
                .first
                .get_or_init(|| Box::new(std::array::from_fn(|_| T::default())));
            return &entries[index as usize];
        }
        let chunk = (index / FIRST + 1).ilog2();
        let start = FIRST * ((1 << chunk) - 1);
        let entries = self.others[chunk as usize].get_or_init(|| (0..FIRST << chunk).map(|_| T::default()).collect());
        &entries[(index - start) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn each_index_is_an_entry_of_its_own_that_stays_where_it_is() {
        let chunks = Chunks::<AtomicU32>::new();
        let entries: Vec<_> = (0..10 * FIRST)
            .map(|index| {
                assert_eq!((chunks.made(), chunks.make()), (index, Some(index)));
                let entry = chunks.at(index);
                assert_eq!(entry.swap(index + 1, Relaxed), 0, "{index}");
                entry
            })
            .collect();
        for (index, entry) in (0..).zip(entries) {
            assert!(std::ptr::eq(entry, chunks.at(index)));
            assert_eq!(entry.load(Relaxed), index + 1);
        }
    }

    #[test]
    fn there_are_as_many_as_all_chunks_hold() {
        let held: u32 = (0..CHUNKS).map(|chunk| FIRST << chunk).sum();
        assert_eq!(CAPACITY, held);
        let chunks = Chunks::<AtomicU32>::new();
        chunks.made.store(CAPACITY, Relaxed);
        assert_eq!(chunks.make(), None);
    }
}
