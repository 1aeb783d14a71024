use super::{Chunks, FreeStack, free_stack::Link};

/// Slots that are used again and never freed singly, so that one is found without allocating. Grows to the largest number
/// that was ever in use at once.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    free: FreeStack,
    entries: Chunks<Entry<T>>,
}

#[derive(Debug, Default)]
struct Entry<T> {
    link: Link,
    value: T,
}

impl<T: Default> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            free: FreeStack::default(),
            entries: Chunks::new(),
        }
    }

    /// A slot for the caller's sole use until it is [put](Self::put) back, in the state that its last user left it.
    /// `None` when half a thousand million are in use.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<u32> {
        match self.free.pop(|index| self.entries.at(index), |entry| &entry.link) {
            Some((index, _)) => Some(index),
            None => self.entries.make(),
        }
    }

    /// Frees a slot.
    #[inline]
    pub(crate) fn put(&self, index: u32) {
        self.free.push(index, &self.entries.at(index).link);
    }

    /// The slot at an index that [`take`](Self::take) gave.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> &T {
        &self.entries.at(index).value
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed, Release},
        },
        thread,
    };

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
        assert!(slab.entries.made() <= 4 * 5);
    }
}
