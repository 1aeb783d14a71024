use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::capacity::{Reason, Refusal};

/// The `Retry-After` of temporary refusals (RFC 9110 section 10.2.3).
///
/// Whole seconds, picked at random between two bounds, so that clients refused together do not return together. Absent
/// from permanent refusals, and where a person has to act first: a used up quota, a read-only volume. RFC 4918 section
/// 11.5 forbids clients to repeat such a request without a user action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    least: u32,
    most: u32,
}

impl RetryAfter {
    /// Picks between two numbers of seconds, both included, given in any order.
    #[must_use]
    pub const fn seconds(least: u32, most: u32) -> Self {
        if least <= most {
            Self { least, most }
        } else {
            Self {
                least: most,
                most: least,
            }
        }
    }

    /// Picks the seconds for this refusal, if it has any.
    pub(crate) fn pick(self, refusal: &Refusal) -> Option<u32> {
        match refusal.reason() {
            Reason::Space | Reason::Inodes | Reason::Unmeasured => {
                let span = u64::from(self.most - self.least) + 1;
                // Below the span, hence a u32.
                Some(self.least + (scatter() % span) as u32)
            }
            _ => None,
        }
    }
}

impl Default for RetryAfter {
    /// 5 to 15 seconds.
    fn default() -> Self {
        Self::seconds(5, 15)
    }
}

/// Returns the next number of a SplitMix64 sequence (Steele, Lea and Flood, 2014). It need not be hard to guess, but
/// processes that start together must not pick the same.
fn scatter() -> u64 {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut z = COUNTER.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed).wrapping_add(*START);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_spread_over_the_bounds() {
        let retry_after = RetryAfter::seconds(7, 5);
        let refusal = Refusal::new(Reason::Space);
        let mut seen: Vec<_> = (0..200).filter_map(|_| retry_after.pick(&refusal)).collect();
        assert_eq!(seen.len(), 200);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [5, 6, 7]);
    }

    #[test]
    fn is_absent_where_waiting_does_not_help() {
        for reason in Reason::ALL {
            let told = RetryAfter::seconds(0, u32::MAX).pick(&Refusal::new(reason)).is_some();
            let expected = matches!(reason, Reason::Space | Reason::Inodes | Reason::Unmeasured);
            assert_eq!(told, expected, "{reason}");
        }
    }
}
