use std::time::Duration;

/// Where a [`Monitor`](super::Monitor) learns about tenants. It asks on a thread of its own, every few seconds.
pub trait TenantFigures: Send + Sync {
    /// The fullest tenants, the fullest first, at most so many.
    fn fullest(&self, at_most: usize) -> Vec<TenantRow>;

    /// How the ledger itself is.
    fn ledger(&self) -> LedgerFigures;
}

/// How one tenant stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantRow {
    /// Who it is. Shown on pages only where that was asked for.
    pub name: String,
    /// Bytes that are stored.
    pub used: u64,
    /// Bytes that requests under way hold.
    pub reserved: u64,
    /// What may be stored; `None` is without limit.
    pub limit: Option<u64>,
}

impl TenantRow {
    /// Which part of the limit is taken, 0 to 1; nothing where there is no limit.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        let taken = self.used.saturating_add(self.reserved);
        match self.limit {
            None => 0.0,
            Some(0) => 1.0,
            Some(limit) => (taken as f64 / limit as f64).min(1.0),
        }
    }
}

/// How a ledger of tenants is. What a ledger does not have is `None`: one in memory has neither leases nor an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LedgerFigures {
    /// How many tenants it keeps track of.
    pub tenants: u64,
    /// How many leases this process holds.
    pub leases: Option<u64>,
    /// How many bytes those leases are for.
    pub leased: Option<u64>,
    /// Whether the engine behind it answers.
    pub engine_reachable: Option<bool>,
    /// How long its last answer took.
    pub engine_latency: Option<Duration>,
    /// Calls of it that failed.
    pub engine_failures: Option<u64>,
}
