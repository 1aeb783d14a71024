use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

#[cfg(feature = "limits-file")]
use super::limits_file::{Configured, attach};
use super::{
    Accounts, Ledger, LedgerInner, Limit,
    lease::{Keeper, Leasing, Threads},
    ledger::Keeping,
    limit_book::LimitBook,
    name::is_name,
    table::Table,
};
use crate::{
    capacity::{BuildError, Observer},
    clock::{Clock, SystemClock},
};

/// Settings of a [`Ledger`]; made by [`Ledger::builder`].
#[must_use = "a ledger is made by `build`"]
pub struct LedgerBuilder {
    name: Arc<str>,
    default_limit: Limit,
    limits: Vec<(Box<str>, Limit)>,
    max_tenants: usize,
    overflow: Option<Box<str>>,
    leasing: Option<Leasing>,
    observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "limits-file")]
    limits_file: Option<std::path::PathBuf>,
    #[cfg(any(test, feature = "test-util"))]
    manual: Option<crate::clock::ManualClock>,
}

impl Ledger {
    /// Starts with the settings of a ledger.
    pub fn builder() -> LedgerBuilder {
        LedgerBuilder {
            name: "quota".into(),
            default_limit: Limit::UNLIMITED,
            limits: Vec::new(),
            max_tenants: 1_000_000,
            overflow: None,
            leasing: None,
            observers: Vec::new(),
            #[cfg(feature = "limits-file")]
            limits_file: None,
            #[cfg(any(test, feature = "test-util"))]
            manual: None,
        }
    }
}

impl LedgerBuilder {
    /// Sets the name for logs and metrics. Default: `quota`.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = name.as_ref().into();
        self
    }

    /// Sets the limit of all tenants that have none of their own. Default: unlimited, so that everything is only counted.
    pub const fn default_limit(mut self, limit: Limit) -> Self {
        self.default_limit = limit;
        self
    }

    /// Sets one tenant's limit; the last one counts. They make up the list that [`Ledger::set_limits`] replaces.
    pub fn limit(mut self, tenant: impl Into<Box<str>>, limit: Limit) -> Self {
        self.limits.push((tenant.into(), limit));
        self
    }

    /// Takes limits from a file, whose form [`Limits`](crate::Limits) tells, now and whenever it changes. What is set here
    /// by [`limit`](Self::limit) and [`default_limit`](Self::default_limit) holds where the file says nothing. A file that
    /// becomes unreadable or wrong leaves the limits as they are, and is [told](crate::Event::LimitsRejected). Needs the
    /// feature `limits-file`; starts one thread.
    #[cfg(feature = "limits-file")]
    pub fn limits_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.limits_file = Some(path.into());
        self
    }

    /// Sets how many tenants are kept track of at most, 1 to 100 million: those with anything stored or reserved. Names
    /// come from clients, and made up ones must not eat memory. Whoever comes when there are so many is refused with 503.
    /// Default: a million, of about 100 bytes each.
    pub const fn max_tenants(mut self, tenants: usize) -> Self {
        self.max_tenants = tenants;
        self
    }

    /// Sets a tenant that stands in for those whom there is no room for: they share its account and its limit.
    pub fn overflow(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.overflow = Some(tenant.into());
        self
    }

    /// Keeps usage in a store instead of in memory alone, so that it survives a restart or holds on many nodes.
    pub fn leasing(mut self, leasing: Leasing) -> Self {
        self.leasing = Some(leasing);
        self
    }

    /// Adds somebody to be told when the store does not answer or has lost something, and of a changed file of limits.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Starts no threads: the store is asked when [`Ledger::step`] is called, and the time comes from this clock.
    #[cfg(any(test, feature = "test-util"))]
    pub fn manual(mut self, clock: crate::clock::ManualClock) -> Self {
        self.manual = Some(clock);
        self
    }

    /// Makes the ledger. With leases it starts two threads, which end when the last handle is dropped.
    ///
    /// # Errors
    ///
    /// When a setting is invalid, a file of limits cannot be read or has a mistake in it, or the threads cannot be started.
    pub fn build(self) -> Result<Ledger, BuildError> {
        self.check()?;
        let limits = LimitBook::new(self.default_limit);
        let list: HashMap<_, _> = self.limits.into_iter().collect();
        #[cfg(feature = "limits-file")]
        let beside_the_file = (list.clone(), self.observers.clone());
        limits.set_list(list);
        let accounts = Accounts {
            table: Table::new(self.max_tenants, self.leasing.is_some()),
            limits,
        };
        // Kept for as long as the ledger, so that there is always room for it.
        let overflow = self.overflow.and_then(|tenant| accounts.acquire(&tenant));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        #[cfg(any(test, feature = "test-util"))]
        let (clock, is_manual) = match self.manual {
            Some(manual) => (Arc::new(manual) as Arc<dyn Clock>, true),
            None => (clock, false),
        };
        let (mut store, mut keeper) = (None, None);
        if let Some(mut leasing) = self.leasing {
            let incarnation = incarnation();
            if leasing.settings.is_anonymous {
                leasing.settings.node = anonymous_name(incarnation).into();
            }
            store = Some(leasing.store);
            keeper = Some(Keeper::new(
                self.name.clone(),
                self.observers,
                leasing.settings,
                clock,
                incarnation,
            ));
        }
        let core = Arc::new(LedgerInner {
            name: self.name,
            accounts,
            keeper,
            overflow,
        });
        #[cfg(feature = "limits-file")]
        let limits_file = match self.limits_file {
            None => None,
            Some(path) => {
                let (tenants, observers) = beside_the_file;
                let configured = Configured {
                    default: self.default_limit,
                    tenants,
                };
                let attached = attach(&core, path.clone(), configured, observers);
                Some(attached.map_err(|error| BuildError::limits_file(&path, error))?)
            }
        };
        let keeping = match store {
            None => None,
            #[cfg(any(test, feature = "test-util"))]
            Some(store) if is_manual => Some(Keeping::Manual(store.into())),
            Some(store) => Some(Keeping::Threads(Threads::start(core.clone(), store).map_err(
                |error| {
                    BuildError::store(
                        &*core.name,
                        "see to it that the process may start two more threads",
                        error,
                    )
                },
            )?)),
        };
        let ledger = Ledger::from_parts(core, keeping);
        #[cfg(feature = "limits-file")]
        let ledger = ledger.with_limits_file(limits_file);
        Ok(ledger)
    }

    fn check(&self) -> Result<(), BuildError> {
        if !(1..=100_000_000).contains(&self.max_tenants) {
            return Err(BuildError::invalid(
                "max_tenants",
                self.max_tenants.to_string(),
                "give a number from 1 to 100 million",
            ));
        }
        let named = self.limits.iter().map(|(tenant, _)| ("limit", tenant));
        let named = named.chain(self.overflow.iter().map(|tenant| ("overflow", tenant)));
        for (setting, tenant) in named {
            if !is_name(tenant) {
                let start: String = tenant.chars().take(32).collect();
                let remedy = "give a tenant's name of 1 to 256 bytes";
                return Err(BuildError::invalid(setting, format!("`{start}`"), remedy));
            }
        }
        if let Some((setting, value, remedy)) = self.leasing.as_ref().and_then(Leasing::flaw) {
            return Err(BuildError::invalid(setting, value, remedy));
        }
        Ok(())
    }
}

/// Later for every later start, also of another process.
fn incarnation() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64)
}

/// Of a node that was not named: nobody else ever has the same.
fn anonymous_name(incarnation: u64) -> String {
    let chance = RandomState::new().build_hasher().finish();
    format!("node-{incarnation:x}-{chance:016x}")
}

impl fmt::Debug for LedgerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerBuilder")
            .field("name", &self.name)
            .field("default_limit", &self.default_limit)
            .field("leasing", &self.leasing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_start_at_the_same_moment_have_names_of_their_own() {
        assert_ne!(anonymous_name(1), anonymous_name(1));
    }

    #[test]
    fn a_later_start_is_a_later_incarnation() {
        let first = incarnation();
        assert!(first > 1_000_000_000_000_000_000, "{first}");
        assert!(incarnation() >= first);
    }
}
