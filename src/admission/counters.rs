use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::capacity::{Reason, Refusal};

/// What one layer has refused so far, or would have refused. Admitted requests are counted with the pools, so that
/// nothing on their way is shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Counters {
    enforced: Counts,
    reported: Counts,
    /// Requests that were admitted and met a storage that said itself that it is full.
    late: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    by_reason: [AtomicU64; Reason::ALL.len()],
    /// Those of them whose body was on its way.
    mid_stream: AtomicU64,
}

/// How many requests were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts {
    by_reason: [u64; Reason::ALL.len()],
    mid_stream: u64,
}

impl RefusalCounts {
    /// All reasons with their counts, in the order of [`Reason::ALL`].
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().zip(self.by_reason)
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.iter().sum()
    }

    /// Those of them that had been admitted, and were refused while the body arrived or by the storage itself.
    #[must_use]
    pub const fn mid_stream(&self) -> u64 {
        self.mid_stream
    }
}

impl Counters {
    pub(super) fn count(&self, refusal: &Refusal, enforced: bool) {
        let counts = if enforced { &self.enforced } else { &self.reported };
        for (reason, count) in Reason::ALL.iter().zip(&counts.by_reason) {
            if *reason == refusal.reason() {
                count.fetch_add(1, Relaxed);
            }
        }
        if refusal.is_mid_stream() {
            counts.mid_stream.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn count_late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, enforced: bool) -> RefusalCounts {
        let counts = if enforced { &self.enforced } else { &self.reported };
        RefusalCounts {
            by_reason: counts.by_reason.each_ref().map(|count| count.load(Relaxed)),
            mid_stream: counts.mid_stream.load(Relaxed),
        }
    }

    pub(super) fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }
}
