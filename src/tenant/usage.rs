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
}
