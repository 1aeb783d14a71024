use super::Limit;

/// What a tenant has stored and reserved, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What is stored: through all nodes, as far as this one has heard.
    pub used: u64,
    /// What requests under way on this node have reserved.
    pub reserved: u64,
    /// What other nodes hold, for their requests and ahead of them. Always 0 in memory.
    pub held_elsewhere: u64,
    /// The limit in force.
    pub limit: Limit,
}

impl Usage {
    /// What could still be reserved.
    #[must_use]
    pub const fn available(&self) -> u64 {
        match self.limit.as_bytes() {
            None => u64::MAX,
            Some(limit) => limit
                .saturating_sub(self.used)
                .saturating_sub(self.reserved)
                .saturating_sub(self.held_elsewhere),
        }
    }

    /// Which part of the limit is taken: 1 is all of it, and more may be.
    pub(super) fn fullness(&self) -> f64 {
        let taken = self
            .used
            .saturating_add(self.reserved)
            .saturating_add(self.held_elsewhere);
        match self.limit.as_bytes() {
            None => 0.0,
            // Who may store nothing is full with the first byte.
            Some(0) => f64::from(u8::from(taken > 0)),
            Some(limit) => taken as f64 / limit as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(limit: Limit, taken: u64) -> Usage {
        Usage {
            used: taken,
            reserved: 2 * taken,
            held_elsewhere: 3 * taken,
            limit,
        }
    }

    #[test]
    fn all_that_is_taken_counts() {
        let limited = usage(Limit::bytes(60), 5);
        assert_eq!((limited.available(), limited.fullness()), (30, 0.5));
        let beyond = usage(Limit::bytes(60), 20);
        assert_eq!((beyond.available(), beyond.fullness()), (0, 2.0));
    }

    #[test]
    fn without_a_limit_nobody_is_full_and_without_a_byte_neither() {
        let unlimited = usage(Limit::UNLIMITED, 1 << 40);
        assert_eq!((unlimited.available(), unlimited.fullness()), (u64::MAX, 0.0));
        assert_eq!(usage(Limit::bytes(0), 0).fullness(), 0.0);
        assert_eq!(usage(Limit::bytes(0), 1).fullness(), 1.0);
    }
}
