use std::time::Duration;

use crate::{Ledger, Usage};

/// Where a [`Monitor`](super::Monitor) learns about tenants; a [`Ledger`] is one. It is asked on a thread of its own, every
/// few seconds.
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
    /// Bytes that are held for requests under way, here and elsewhere.
    pub reserved: u64,
    /// How many bytes may be stored; `None` is without limit.
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
    /// How many bytes this process has leased.
    pub leased: Option<u64>,
    /// Whether the engine behind it answers.
    pub engine_reachable: Option<bool>,
    /// How long its last answer took.
    pub engine_latency: Option<Duration>,
    /// How often it was called.
    pub engine_calls: Option<u64>,
    /// How often that failed.
    pub engine_failures: Option<u64>,
}

impl TenantFigures for Ledger {
    fn fullest(&self, at_most: usize) -> Vec<TenantRow> {
        // The method of the same name that every ledger has.
        let fullest = Self::fullest(self, at_most);
        fullest.into_iter().map(|(name, usage)| row(name, &usage)).collect()
    }

    fn ledger(&self) -> LedgerFigures {
        let report = self.report();
        let store = report.store.as_ref();
        LedgerFigures {
            tenants: report.tenants as u64,
            leased: store.map(|store| store.leased),
            engine_reachable: store.map(|store| store.is_reachable),
            engine_latency: store.map(|store| store.latency),
            engine_calls: store.map(|store| store.calls),
            engine_failures: store.map(|store| store.failures),
        }
    }
}

fn row(name: String, usage: &Usage) -> TenantRow {
    TenantRow {
        name,
        used: usage.used,
        reserved: usage.reserved.saturating_add(usage.held_elsewhere),
        limit: usage.limit.as_bytes(),
    }
}
