use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// One tenant's bytes: what is charged, and up to where it may be.
///
/// Without leases `charged = used + reserved`, and the bound is the tenant's limit. With leases `charged` is what is
/// left of the lease, counted from [`LEASED`] downwards, and the bound never changes: so one number holds all that
/// decides, and a compare-and-swap on it cannot succeed by a bound that was lowered meanwhile.
#[derive(Debug)]
pub(super) struct Balance {
    charged: AtomicU64,
    bound: AtomicU64,
    /// Without leases what the tenant has stored. With leases all that was stored since the entry was made; deletes are
    /// counted apart.
    used: AtomicU64,
}

/// A bound that stands for the ledger's default, which so can change without a look at every tenant.
pub(super) const DEFAULT: u64 = u64::MAX - 1;

/// The bound of an entry with leases. Charges beyond it are debts: bytes that were let through although no lease covered
/// them.
pub(super) const LEASED: u64 = 1 << 62;

/// More at once is never taken, so that sums stay far from overflow.
const LARGEST: u64 = 1 << 60;

impl Balance {
    pub(super) fn new(charged: u64, bound: u64) -> Self {
        Self {
            charged: AtomicU64::new(charged),
            bound: AtomicU64::new(bound),
            used: AtomicU64::new(0),
        }
    }

    /// A balance of which nothing is leased yet.
    pub(super) fn leased() -> Self {
        Self::new(LEASED, LEASED)
    }

    #[inline]
    pub(super) fn charged(&self) -> u64 {
        self.charged.load(Acquire)
    }

    #[inline]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Acquire)
    }

    pub(super) fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Relaxed);
    }

    #[inline]
    pub(super) fn bound(&self, default: u64) -> u64 {
        match self.bound.load(Relaxed) {
            DEFAULT => default,
            bound => bound,
        }
    }

    /// Charges `bytes` if the bound allows it. Tells what is charged then.
    #[inline]
    pub(super) fn try_charge(&self, bytes: u64, bound: u64) -> Option<u64> {
        if bytes > LARGEST {
            return None;
        }
        let mut charged = self.charged.load(Relaxed);
        loop {
            let next = charged.saturating_add(bytes);
            if next > bound {
                return None;
            }
            match self.charged.compare_exchange_weak(charged, next, AcqRel, Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => charged = now,
            }
        }
    }

    /// Charges up to `bytes`, as far as the bound allows. Tells how much.
    pub(super) fn charge_up_to(&self, bytes: u64, bound: u64) -> u64 {
        let mut charged = self.charged.load(Relaxed);
        loop {
            let taken = bytes.min(bound.saturating_sub(charged)).min(LARGEST);
            if taken == 0 {
                return 0;
            }
            match self
                .charged
                .compare_exchange_weak(charged, charged + taken, AcqRel, Relaxed)
            {
                Ok(_) => return taken,
                Err(now) => charged = now,
            }
        }
    }

    /// Charges bytes that are stored already, whatever the bound says.
    pub(super) fn charge(&self, bytes: u64) {
        self.charged.fetch_add(bytes.min(LARGEST), AcqRel);
    }

    /// Takes a charge back. Tells what is charged then.
    #[inline]
    pub(super) fn release(&self, bytes: u64) -> u64 {
        self.charged.fetch_sub(bytes, AcqRel) - bytes
    }

    /// Counts charged bytes as stored.
    #[inline]
    pub(super) fn store(&self, bytes: u64) {
        self.used.fetch_add(bytes, AcqRel);
    }

    /// Takes stored bytes back, at most all. Tells how many; they are still charged.
    pub(super) fn unstore(&self, bytes: u64) -> u64 {
        let mut used = self.used.load(Relaxed);
        loop {
            let taken = bytes.min(used);
            match self.used.compare_exchange_weak(used, used - taken, AcqRel, Relaxed) {
                Ok(_) => return taken,
                Err(now) => used = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_tells_what_is_charged_then() {
        let balance = Balance::new(5, 100);
        assert_eq!(balance.try_charge(10, 100), Some(15));
        assert_eq!(balance.try_charge(85, 100), Some(100));
        assert_eq!(balance.try_charge(1, 100), None);
        assert_eq!(balance.release(30), 70);
        assert_eq!(balance.charge_up_to(50, 100), 30);
        assert_eq!(balance.charge_up_to(50, 100), 0);
        assert_eq!(balance.charged(), 100);
    }

    #[test]
    fn so_much_is_taken_at_once_and_not_a_byte_more() {
        let balance = Balance::new(0, u64::MAX);
        assert_eq!(balance.try_charge(LARGEST + 1, u64::MAX), None);
        assert_eq!(balance.try_charge(LARGEST, u64::MAX), Some(LARGEST));
        assert_eq!(balance.charge_up_to(u64::MAX, u64::MAX), LARGEST);
        balance.charge(u64::MAX);
        assert_eq!(balance.charged(), 3 * LARGEST);
    }

    #[test]
    fn no_more_is_taken_back_than_was_stored() {
        let balance = Balance::new(0, u64::MAX);
        balance.store(10);
        assert_eq!(balance.unstore(4), 4);
        assert_eq!(balance.unstore(7), 6);
        assert_eq!(balance.unstore(1), 0);
        assert_eq!(balance.used(), 0);
    }
}
