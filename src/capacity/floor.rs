/// What must stay free: an amount, a share of the total, or the larger of both, optionally capped.
///
/// A share alone misfits large disks (5 % of 16 TB is 800 GB), an amount alone misfits small ones; hence the cap:
///
/// ```
/// use tower_storage_guard::Floor;
///
/// let floor = Floor::percent(2.0).at_least(1 << 30).at_most(20 << 30);
/// assert_eq!(floor.of(100 << 30), 2 << 30); // 2 % of 100 GiB
/// assert_eq!(floor.of(10 << 30), 1 << 30); // at least 1 GiB
/// assert_eq!(floor.of(16 << 40), 20 << 30); // at most 20 GiB
/// ```
///
/// A percentage outside 0 to 100 and a minimum above the maximum are reported by the `build` of whatever the floor is
/// given to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Floor {
    at_least: u64,
    percent: f64,
    at_most: u64,
}

impl Floor {
    /// Nothing needs to stay free.
    pub const NONE: Self = Self::bytes(0);

    /// An amount, in bytes (or the unit of the probe).
    pub const fn bytes(bytes: u64) -> Self {
        Self {
            at_least: bytes,
            percent: 0.0,
            at_most: u64::MAX,
        }
    }

    /// A share of the resource's total, 0 to 100.
    pub const fn percent(percent: f64) -> Self {
        Self {
            at_least: 0,
            percent,
            at_most: u64::MAX,
        }
    }

    /// At least this many bytes (or units of the probe), whatever the share comes to.
    pub const fn at_least(mut self, bytes: u64) -> Self {
        self.at_least = bytes;
        self
    }

    /// At most this many bytes (or units of the probe), whatever the share comes to.
    pub const fn at_most(mut self, bytes: u64) -> Self {
        self.at_most = bytes;
        self
    }

    /// The floor of a resource with this total, both in bytes (or units of the probe). A share of an unknown total
    /// ([`u64::MAX`]) is nothing.
    #[must_use]
    pub fn of(&self, total: u64) -> u64 {
        let share = if total == u64::MAX {
            0
        } else {
            let parts_per_million = (self.percent * 10_000.0).ceil() as u128;
            // A share is at most the total, which is a u64.
            u64::try_from((u128::from(total) * parts_per_million).div_ceil(1_000_000)).unwrap_or(total)
        };
        share.max(self.at_least).min(self.at_most)
    }

    /// What is wrong with it, if anything: the value and the remedy.
    pub(crate) fn flaw(&self) -> Option<(String, &'static str)> {
        if !(0.0..=100.0).contains(&self.percent) {
            return Some((format!("{} %", self.percent), "give a percentage from 0 to 100"));
        }
        if self.at_least > self.at_most {
            return Some((
                format!("at least {} and at most {} bytes", self.at_least, self.at_most),
                "give a minimum that is not above the maximum",
            ));
        }
        None
    }
}

impl Default for Floor {
    /// 5 %, at most 10 GiB.
    fn default() -> Self {
        Self::percent(5.0).at_most(10 << 30)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_the_larger_of_bytes_and_share_up_to_the_cap() {
        assert_eq!(Floor::NONE.of(1000), 0);
        assert_eq!(Floor::bytes(7).of(1000), 7);
        assert_eq!(Floor::percent(5.0).of(1000), 50);
        assert_eq!(Floor::percent(5.0).at_least(80).of(1000), 80);
        assert_eq!(Floor::percent(5.0).at_least(80).at_most(90).of(10_000), 90);
        assert_eq!(Floor::percent(0.1).of(1), 1, "a share is rounded up");
    }

    #[test]
    fn survives_the_ends_of_the_number_line() {
        assert_eq!(Floor::percent(100.0).of(u64::MAX - 1), u64::MAX - 1);
        assert_eq!(Floor::percent(50.0).of(u64::MAX), 0, "no share of an unknown total");
        assert_eq!(Floor::bytes(u64::MAX).of(0), u64::MAX);
    }

    proptest! {
        /// Against hundredths of a percent in whole numbers. A share is rounded up, by less than a millionth of the total.
        #[test]
        fn shares_are_as_exact_as_whole_numbers(
            hundredths in 0..=10_000_u64, total in 0..u64::MAX, least: u64, most: u64,
        ) {
            let floor = Floor::percent(hundredths as f64 / 100.0);
            let exact = (u128::from(total) * u128::from(hundredths)).div_ceil(10_000) as u64;
            let share = floor.of(total);
            prop_assert!(share >= exact && share <= total && share - exact <= total / 1_000_000 + 1);
            let bounded = floor.at_least(least).at_most(most.max(least)).of(total);
            prop_assert_eq!(bounded, share.clamp(least, most.max(least)));
        }
    }

    #[test]
    fn names_its_flaws() {
        for bad in [-1.0, 100.5, f64::NAN, f64::INFINITY] {
            assert!(Floor::percent(bad).flaw().is_some(), "{bad}");
        }
        assert!(Floor::bytes(2).at_most(1).flaw().is_some());
        assert!(Floor::bytes(2).at_most(2).flaw().is_none());
        assert!(Floor::default().flaw().is_none());
    }
}
