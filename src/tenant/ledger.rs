use std::{fmt, sync::Arc, time::Duration};

use super::{LedgerInner, Limit, StoreError, StoreErrorKind, Usage, lease::Threads};

/// What each tenant has stored and reserved, and how much it may.
///
/// A handle is cheap to clone; give it to every layer that charges the same tenants. By default all is kept in memory and
/// starts at nothing with the process; [`leasing`](super::LedgerBuilder::leasing) keeps it in a file, or in an engine
/// that several nodes share.
///
/// ```
/// use tower_storage_guard::{Ledger, Limit};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let quotas = Ledger::builder().default_limit(Limit::bytes(1000)).limit("guest", Limit::bytes(0)).build()?;
///
/// let upload = quotas.try_reserve("alice", 600)?;
/// assert!(quotas.try_reserve("alice", 600).is_err(), "the first may take the whole of it");
/// assert!(quotas.try_reserve("guest", 1).unwrap_err().is_permanent());
///
/// upload.commit(500);
/// assert_eq!(quotas.usage("alice").used, 500);
/// quotas.credit("alice", 200); // She deleted something.
/// assert_eq!(quotas.usage("alice").available(), 700);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Ledger {
    core: Arc<LedgerInner>,
    /// What talks to the store, until the last handle goes.
    pub(super) keeping: Option<Arc<Keeping>>,
    #[cfg(feature = "limits-file")]
    limits_file: Option<Arc<super::LimitsFile>>,
}

/// What drives a keeper.
pub(super) enum Keeping {
    Threads(Threads),
    /// Only when a test says so.
    #[cfg(any(test, feature = "test-util"))]
    Manual(std::sync::Mutex<Box<dyn super::LeaseStore>>),
}

impl Ledger {
    /// Takes bytes off what a tenant has stored, because they were deleted. In memory more than is stored counts as all; with
    /// leases it is set against what other nodes have stored and not told yet, so take care to credit nothing twice.
    pub fn credit(&self, tenant: &str, bytes: u64) {
        // In memory a tenant with something stored is in the table.
        let entry = match self.core.is_leased() {
            true => self.core.acquire(tenant),
            false => self.core.accounts.table.find(tenant),
        };
        if let Some(entry) = entry {
            self.core.credit_at(&entry, bytes);
        }
    }

    /// Charges bytes that are stored already, whatever the limit says.
    pub fn charge(&self, tenant: &str, bytes: u64) {
        if let Some(entry) = self.core.acquire(tenant) {
            self.core.charge_at(&entry, bytes);
        }
    }

    /// What a tenant has stored and reserved. With leases: as far as this node has heard, and nothing of tenants that it
    /// has no lease of; [`scan`](Self::scan) asks.
    #[must_use]
    pub fn usage(&self, tenant: &str) -> Usage {
        match self.core.accounts.table.find(tenant) {
            Some(entry) => self.core.usage_at(&entry),
            None => Usage {
                used: 0,
                reserved: 0,
                held_elsewhere: 0,
                limit: self.core.accounts.limits.limit_of(tenant),
            },
        }
    }

    /// Sets a tenant's limit, now; `None` returns to the one that it is configured with. With leases the limit is kept in
    /// the store and holds for all nodes, each from its next heartbeat on; this blocks until the store has it.
    ///
    /// # Errors
    ///
    /// When the store does not take it. In memory it never fails.
    pub fn set_limit(&self, tenant: &str, limit: impl Into<Option<Limit>>) -> Result<(), StoreError> {
        let limit = limit.into();
        let Some(keeper) = &self.core.keeper else {
            self.core.accounts.limits.set_by_hand(tenant, limit);
            self.core.apply_bound(tenant);
            return Ok(());
        };
        let outcome = keeper.set_limit(tenant, limit);
        #[cfg(any(test, feature = "test-util"))]
        self.step();
        outcome
            .recv()
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Unavailable, "the ledger is closed")))
    }

    /// Sets the limit of all who have none of their own, now.
    pub fn set_default_limit(&self, limit: Limit) {
        self.core.set_default_limit(limit);
    }

    /// Puts a list of limits in place of the former list, now. Who is no longer in it returns to the default; limits that
    /// were [set by hand](Self::set_limit) are stronger than the list.
    pub fn set_limits(&self, limits: impl IntoIterator<Item = (impl Into<Box<str>>, Limit)>) {
        let list = limits
            .into_iter()
            .map(|(tenant, limit)| (tenant.into(), limit))
            .collect();
        self.core.set_limits(list);
    }

    /// Looks into the [file of limits](super::LedgerBuilder::limits_file) at once, as on a `SIGHUP`. Tells whether the
    /// limits changed; without such a file they never do. Blocks while the file is read.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has a mistake in it. The limits stay as they are.
    #[cfg(feature = "limits-file")]
    pub fn reload_limits(&self) -> Result<bool, super::LimitsFileError> {
        self.limits_file
            .as_deref()
            .map_or(Ok(false), super::LimitsFile::check_now)
    }

    /// How things stand.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let keeper = self.core.keeper.as_ref();
        let mut leased = 0_u64;
        if let Some(keeper) = keeper {
            let entries = self.core.accounts.table.entries();
            leased = entries.iter().map(|entry| keeper.hold(entry)).sum();
        }
        LedgerReport {
            tenants: self.core.accounts.table.tracked(),
            default_limit: Limit::from_bound(self.core.accounts.limits.default_bound()),
            store: keeper.map(|keeper| StoreReport {
                is_reachable: !keeper.health.is_unreachable(),
                leased,
                calls: keeper.health.calls(),
                failures: keeper.health.failures(),
                latency: keeper.health.latency(),
                error: keeper.health.error(),
            }),
        }
    }

    /// The tenants with the largest part of their limit used or reserved, the fullest first. Looks at all tenants.
    #[must_use]
    pub fn fullest(&self, at_most: usize) -> Vec<(String, Usage)> {
        let entries = self.core.accounts.table.entries();
        let mut tenants: Vec<_> = entries
            .iter()
            .map(|entry| {
                let usage = self.core.usage_at(entry);
                (usage.fullness(), entry.name.as_str().to_owned(), usage)
            })
            .collect();
        tenants.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        tenants
            .into_iter()
            .take(at_most)
            .map(|(_, name, usage)| (name, usage))
            .collect()
    }

    /// Gives back what is leased and not needed, tells the store what was stored, and leases nothing more. Blocks for 5 s
    /// at most. Dropping the last handle does the same.
    pub fn close(&self) {
        match self.keeping.as_deref() {
            Some(Keeping::Threads(threads)) => threads.close(),
            #[cfg(any(test, feature = "test-util"))]
            Some(Keeping::Manual(store)) => {
                if let Some(keeper) = &self.core.keeper {
                    keeper.stop();
                    keeper.close(&self.core.accounts, &mut **lock(store));
                }
            }
            None => {}
        }
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// One exchange with the store, if there is something to say, and a look at who has waited for too long. For ledgers
    /// that were built [manually](super::LedgerBuilder::manual). Tells whether an exchange succeeded.
    #[cfg(any(test, feature = "test-util"))]
    pub fn step(&self) -> bool {
        let (Some(keeper), Some(Keeping::Manual(store))) = (&self.core.keeper, self.keeping.as_deref()) else {
            return false;
        };
        let succeeded = keeper.round(&self.core.accounts, &mut **lock(store));
        keeper.expire(&self.core.accounts);
        succeeded
    }

    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn is_manual(&self) -> bool {
        matches!(self.keeping.as_deref(), Some(Keeping::Manual(_)))
    }

    /// What was stored through this node, and through all: less than nothing if more was deleted than was ever told.
    pub(super) fn shares(&self, tenant: &str) -> Option<(i64, i128)> {
        let entry = self.core.accounts.table.find(tenant)?;
        match &self.core.keeper {
            Some(keeper) => keeper.shares(&entry),
            None => {
                let used = entry.balance.used();
                Some((i64::try_from(used).unwrap_or(i64::MAX), used.into()))
            }
        }
    }

    pub(super) fn from_parts(core: Arc<LedgerInner>, keeping: Option<Keeping>) -> Self {
        let keeping = keeping.map(Arc::new);
        Self {
            core,
            keeping,
            #[cfg(feature = "limits-file")]
            limits_file: None,
        }
    }

    #[cfg(feature = "limits-file")]
    pub(super) fn with_limits_file(mut self, file: Option<super::LimitsFile>) -> Self {
        self.limits_file = file.map(Arc::new);
        self
    }

    pub(crate) fn core(&self) -> &LedgerInner {
        &self.core
    }
}

#[cfg(any(test, feature = "test-util"))]
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("name", &self.core.name)
            .field("tenants", &self.core.accounts.table.tracked())
            .finish_non_exhaustive()
    }
}

/// How a ledger stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerReport {
    /// Tenants that have something stored or reserved, or, with leases, whom this node has a lease of.
    pub tenants: usize,
    /// The limit of those who have none of their own.
    pub default_limit: Limit,
    /// How the store answers; `None` in memory.
    pub store: Option<StoreReport>,
}

/// How a ledger's store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreReport {
    /// `false` while requests do not wait for it, because it has not answered for as long as any would.
    pub is_reachable: bool,
    /// Bytes that this node has leased, of all tenants.
    pub leased: u64,
    /// How often it was called.
    pub calls: u64,
    /// How often that failed.
    pub failures: u64,
    /// How long the last call took that succeeded.
    pub latency: Duration,
    /// Why the last call failed, if it did.
    pub error: Option<String>,
}
