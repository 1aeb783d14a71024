use crate::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{AcqRel, Relaxed},
};

/// The account of one resource: what may still be admitted, and what was finished but not yet seen by the probe.
///
/// Invariant: `headroom = limit − Σ(open and unseen holds)`, where `limit` is the last reading less the floor and lives
/// in the [`Reconciler`](super::Reconciler). Every byte of ours that the reading does not show yet belongs to such a
/// hold, so what is admitted fits as long as others take less than the floor between the reading that it was admitted by
/// and its last byte.
///
/// A stale account only ever falls, so it is safe to go on with it when the probe is silent.
#[derive(Debug)]
pub(crate) struct Account {
    /// Signed: the resource may have less than its floor.
    headroom: OwnLine<AtomicI64>,
    closed: OwnLine<AtomicU64>,
}

/// Admissions and finishes come from different cores; side by side the two would share a cache line.
#[derive(Debug)]
#[repr(align(64))]
struct OwnLine<T>(T);

/// Amounts above this (1 EiB) are refused rather than counted, so that sums of holds stay far from overflow.
const LARGEST_HOLD: u64 = 1 << 60;

impl Account {
    pub(crate) fn new(headroom: i64) -> Self {
        Self {
            headroom: OwnLine(AtomicI64::new(headroom)),
            closed: OwnLine(AtomicU64::new(0)),
        }
    }

    /// What may still be admitted.
    #[inline]
    pub(crate) fn headroom(&self) -> i64 {
        self.headroom.0.load(Relaxed)
    }

    /// Finished bytes that no reading has been asked to show yet.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.0.load(Relaxed)
    }

    /// Takes `amount` if it fits.
    #[inline]
    pub(crate) fn try_reserve(&self, amount: u64) -> bool {
        self.reserve_above(amount, amount as i64)
    }

    /// Takes `amount` if it fits with `allowance` more than there is: a part of the floor.
    #[inline]
    pub(crate) fn try_reserve_with(&self, amount: u64, allowance: u64) -> bool {
        let allowance = i64::try_from(allowance).unwrap_or(i64::MAX / 4);
        self.reserve_above(amount, (amount as i64).saturating_sub(allowance))
    }

    /// Takes `amount` whether it fits or not, for requests that are let through although nobody knows. Tells whether it
    /// was taken: absurd amounts are not.
    pub(crate) fn force_reserve(&self, amount: u64) -> bool {
        self.reserve_above(amount, i64::MIN / 2)
    }

    #[inline]
    fn reserve_above(&self, amount: u64, least: i64) -> bool {
        if amount > LARGEST_HOLD {
            return false;
        }
        let mut headroom = self.headroom();
        // Zero bytes need room as well: nothing is admitted below the floor.
        while headroom >= least {
            match self
                .headroom
                .0
                .compare_exchange_weak(headroom, headroom - amount as i64, AcqRel, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => headroom = now,
            }
        }
        false
    }

    /// Gives back what was reserved and certainly not written.
    pub(crate) fn refund(&self, amount: u64) {
        self.headroom.0.fetch_add(amount as i64, AcqRel);
    }

    /// Marks reserved bytes as finished: they return when a reading that can show them has been taken. Tells the sum of
    /// closed bytes that wait for a sample.
    #[inline]
    pub(crate) fn close(&self, amount: u64) -> u64 {
        // Release: whoever takes this figure also sees that the bytes were written before.
        self.closed.0.fetch_add(amount, AcqRel).saturating_add(amount)
    }

    pub(super) fn take_closed(&self) -> u64 {
        self.closed.0.swap(0, AcqRel)
    }

    /// Moves the limit, up or down.
    pub(crate) fn adjust(&self, by: i64) {
        self.headroom.0.fetch_add(by, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_what_fits_and_not_a_byte_more() {
        let account = Account::new(100);
        assert!(account.try_reserve(60));
        assert!(!account.try_reserve(41));
        assert!(account.try_reserve(40));
        assert!(
            account.try_reserve(0),
            "an exact fit leaves an account that is not negative"
        );
        account.refund(10);
        assert_eq!(account.headroom(), 10);
    }

    #[test]
    fn below_the_floor_not_even_nothing_fits() {
        let account = Account::new(-1);
        assert!(!account.try_reserve(0));
        assert!(account.force_reserve(5));
        assert_eq!(account.headroom(), -6);
    }

    #[test]
    fn an_allowance_reaches_below_zero_and_no_further() {
        let account = Account::new(10);
        assert!(!account.try_reserve(15));
        assert!(account.try_reserve_with(15, 5));
        assert_eq!(account.headroom(), -5);
        assert!(!account.try_reserve_with(1, 5));
        assert!(account.try_reserve_with(0, u64::MAX));
        assert!(!account.try_reserve_with(u64::MAX, u64::MAX));
    }

    #[test]
    fn absurd_amounts_are_never_taken() {
        let account = Account::new(i64::MAX);
        for amount in [u64::MAX, 1 << 63, (1 << 60) + 1] {
            assert!(!account.try_reserve(amount));
            assert!(!account.force_reserve(amount));
        }
        assert_eq!(account.headroom(), i64::MAX);
        assert!(account.try_reserve(LARGEST_HOLD));
    }

    #[test]
    fn finishing_gives_nothing_back_by_itself() {
        let account = Account::new(100);
        assert!(account.try_reserve(100));
        assert_eq!(account.close(100), 100);
        assert_eq!((account.headroom(), account.closed()), (0, 100));
    }
}
