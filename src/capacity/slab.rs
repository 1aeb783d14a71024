use std::sync::{
    OnceLock,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// Slots that are used again and never freed singly, so that a request finds one without allocating. Grows to the
/// largest number that was ever in use at once.
///
/// The free ones form a stack; its head carries a tag that changes with every push and pop, so that a head that was
/// popped and pushed back in the meantime is not mistaken for an unchanged one.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Tag in the upper half, index + 1 in the lower (0: none free).
    head: AtomicU64,
    made: AtomicU32,
    /// Found by one comparison: few requests at once need more, and each looks for its slot several times.
    first: OnceLock<Box<[Entry<T>; FIRST as usize]>>,
    /// Chunk *k* has `FIRST << k` slots, of which number 0 is the first; chunks do not move, so a slot can be used while
    /// others are added.
    chunks: [OnceLock<Box<[Entry<T>]>>; CHUNKS],
}

#[derive(Debug, Default)]
struct Entry<T> {
    next: AtomicU32,
    value: T,
}

const FIRST: u32 = 32;
const CHUNKS: usize = 24;
const CAPACITY: u32 = FIRST * ((1 << CHUNKS as u32) - 1);

impl<T: Default> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            made: AtomicU32::new(0),
            first: OnceLock::new(),
            chunks: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// A slot for the caller's sole use until it is [put](Self::put) back, in the state that its last user left it.
    /// `None` when half a thousand million are in use.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<u32> {
        let mut head = self.head.load(Acquire);
        loop {
            let Some(index) = (head as u32).checked_sub(1) else {
                return self.make();
            };
            let next = self.entry(index).next.load(Relaxed);
            match self
                .head
                .compare_exchange_weak(head, with_next_tag(head, next), AcqRel, Acquire)
            {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    /// Frees a slot.
    #[inline]
    pub(crate) fn put(&self, index: u32) {
        let entry = self.entry(index);
        let mut head = self.head.load(Relaxed);
        loop {
            entry.next.store(head as u32, Relaxed);
            match self
                .head
                .compare_exchange_weak(head, with_next_tag(head, index + 1), Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// The slot at an index that [`take`](Self::take) gave.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> &T {
        &self.entry(index).value
    }

    #[cold]
    fn make(&self) -> Option<u32> {
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
        self.entry(index);
        Some(index)
    }

    /// All slots that were ever taken, in use or not.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        (0..self.made.load(Acquire)).map(|index| self.slot(index))
    }

    #[inline(always)]
    fn entry(&self, index: u32) -> &Entry<T> {
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
    fn later_entry(&self, index: u32) -> &Entry<T> {
        if index < FIRST {
            let entries = self
                .first
                .get_or_init(|| Box::new(std::array::from_fn(|_| Entry::default())));
            return &entries[index as usize];
        }
        let chunk = (index / FIRST + 1).ilog2();
        let start = FIRST * ((1 << chunk) - 1);
        let entries =
            self.chunks[chunk as usize].get_or_init(|| (0..FIRST << chunk).map(|_| Entry::default()).collect());
        &entries[(index - start) as usize]
    }
}

fn with_next_tag(head: u64, index: u32) -> u64 {
    (head & !u64::from(u32::MAX)).wrapping_add(1 << 32) | u64::from(index)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::atomic::AtomicBool, thread};

    use super::*;

    #[test]
    fn gives_every_slot_once_and_uses_it_again() {
        let slab = Slab::<AtomicBool>::new();
        let taken: HashSet<_> = (0..10_000).map(|_| slab.take().expect("room")).collect();
        assert_eq!(taken.len(), 10_000);
        for index in &taken {
            assert!(!slab.slot(*index).swap(true, Relaxed));
        }
        for index in &taken {
            slab.put(*index);
        }
        let again: HashSet<_> = (0..10_000).map(|_| slab.take().expect("room")).collect();
        assert_eq!(again, taken, "nothing new was made");
    }

    #[test]
    fn no_two_threads_have_the_same_slot() {
        let slab = Slab::<AtomicBool>::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let held: Vec<_> = (0..1 + round % 5).map(|_| slab.take().expect("room")).collect();
                        for index in &held {
                            assert!(!slab.slot(*index).swap(true, AcqRel), "slot {index} is in use");
                        }
                        for index in held {
                            slab.slot(index).store(false, Release);
                            slab.put(index);
                        }
                    }
                });
            }
        });
        assert!(slab.made.load(Relaxed) <= 4 * 5);
    }
}
