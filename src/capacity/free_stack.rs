use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// Which of many numbered places are free: a stack, each place of which has a link to the next.
///
/// Its head carries a tag that changes with every push and pop, so that a head that was popped and pushed back in the
/// meantime is not mistaken for an unchanged one.
#[derive(Debug, Default)]
pub(crate) struct FreeStack {
    /// Tag in the upper half, index + 1 in the lower (0: none free).
    head: AtomicU64,
}

/// A place's link to the next free one.
#[derive(Debug, Default)]
pub(crate) struct Link(AtomicU32);

impl FreeStack {
    /// The index of a free place, which is the caller's until it is [pushed](Self::push) back. `place` finds what lies at
    /// an index.
    #[inline(always)]
    pub(crate) fn pop<T>(&self, place: impl Fn(u32) -> T, link: impl Fn(&T) -> &Link) -> Option<(u32, T)> {
        let mut head = self.head.load(Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let found = place(index);
            let next = link(&found).0.load(Relaxed);
            match self
                .head
                .compare_exchange_weak(head, with_next_tag(head, next), AcqRel, Acquire)
            {
                Ok(_) => return Some((index, found)),
                Err(now) => head = now,
            }
        }
    }

    /// Frees a place.
    #[inline(always)]
    pub(crate) fn push(&self, index: u32, link: &Link) {
        let mut head = self.head.load(Relaxed);
        loop {
            link.0.store(head as u32, Relaxed);
            match self
                .head
                .compare_exchange_weak(head, with_next_tag(head, index + 1), Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

fn with_next_tag(head: u64, index: u32) -> u64 {
    (head & !u64::from(u32::MAX)).wrapping_add(1 << 32) | u64::from(index)
}
