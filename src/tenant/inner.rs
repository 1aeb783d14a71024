use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    Accounts, Denied, DeniedKind, Limit, Usage,
    lease::{Keeper, Waiter},
    table::{Place, Short},
};

/// What the handles of a ledger share with requests and threads.
pub(crate) struct LedgerInner {
    pub(super) name: Arc<str>,
    pub(super) accounts: Accounts,
    pub(super) keeper: Option<Keeper>,
    /// The tenant that stands in for those whom the table has no room for.
    pub(super) overflow: Option<Box<str>>,
}

/// How an attempt to reserve ends, or goes on.
#[derive(Debug)]
pub(crate) enum Attempt {
    Granted(Place),
    Denied(Denied),
    /// The store must be asked.
    Waits(Place, Arc<Waiter>),
}

impl LedgerInner {
    /// Finds a tenant's account, or makes one.
    #[inline]
    pub(crate) fn acquire(&self, tenant: &str) -> Option<Place> {
        let bound = |name: &str| match self.keeper {
            None => self.accounts.limits.bound_of(name),
            Some(_) => super::entry::LEASED,
        };
        let table = &self.accounts.table;
        table.acquire(tenant, || bound(tenant)).or_else(|| {
            let overflow = self.overflow.as_deref()?;
            table.acquire(overflow, || bound(overflow))
        })
    }

    /// Reserves bytes for a tenant; may have to wait for the store if `may_wait`.
    #[inline]
    pub(crate) fn attempt(&self, tenant: &str, bytes: u64, may_wait: bool) -> Attempt {
        if self.keeper.is_none() && bytes > 0 {
            return match self.charge_in_memory(tenant, bytes) {
                Ok(place) => Attempt::Granted(place),
                Err(short) => self.charge_overflow_tenant(bytes, short),
            };
        }
        let Some(place) = self.acquire(tenant) else {
            return Attempt::Denied(Denied::new(DeniedKind::Unknown));
        };
        match self.charge_more(place, bytes, may_wait) {
            Ok(None) => Attempt::Granted(place),
            Ok(Some(waiter)) => Attempt::Waits(place, waiter),
            Err(denied) => {
                self.accounts.table.leave(place);
                Attempt::Denied(denied)
            }
        }
    }

    #[inline]
    fn charge_in_memory(&self, tenant: &str, bytes: u64) -> Result<Place, Short> {
        let limits = &self.accounts.limits;
        let table = &self.accounts.table;
        table.charge(tenant, bytes, limits.default_bound(), || limits.bound_of(tenant))
    }

    #[cold]
    fn charge_overflow_tenant(&self, bytes: u64, short: Short) -> Attempt {
        let short = match (short, self.overflow.as_deref()) {
            (Short::NoRoom, Some(overflow)) => match self.charge_in_memory(overflow, bytes) {
                Ok(place) => return Attempt::Granted(place),
                Err(short) => short,
            },
            (short, _) => short,
        };
        Attempt::Denied(match short {
            Short::NoRoom => Denied::new(DeniedKind::Unknown),
            Short::Beyond(bound) => Denied::beyond(bytes, bound),
        })
    }

    /// Charges more to an account. `Some` says who must be waited for.
    #[inline]
    pub(crate) fn charge_more(&self, place: Place, bytes: u64, may_wait: bool) -> Result<Option<Arc<Waiter>>, Denied> {
        let entry = self.accounts.table.entry(place.index);
        let bound = entry.bound(self.accounts.limits.default_bound());
        if let Some(charged) = entry.try_charge(bytes, bound) {
            if let Some(keeper) = &self.keeper {
                keeper.note_charge(&self.accounts, place, charged);
            }
            return Ok(None);
        }
        match &self.keeper {
            None => Err(Denied::beyond(bytes, bound)),
            Some(keeper) => self.charge_by_asking(keeper, place, bytes, may_wait),
        }
    }

    #[cold]
    fn charge_by_asking(
        &self,
        keeper: &Keeper,
        place: Place,
        bytes: u64,
        may_wait: bool,
    ) -> Result<Option<Arc<Waiter>>, Denied> {
        if !may_wait {
            keeper.ask(&self.accounts, place);
            return Err(Denied::new(DeniedKind::WouldWait));
        }
        match keeper.wait_for(&self.accounts, place, bytes) {
            Ok(waiter) => Ok(Some(waiter)),
            Err(outcome) => outcome.map(|()| None),
        }
    }

    /// Charges bytes whatever the limit says; they are reserved, not stored.
    pub(crate) fn charge_unchecked(&self, tenant: &str, bytes: u64) -> Option<Place> {
        let place = self.acquire(tenant)?;
        self.charge_unchecked_at(place, bytes);
        Some(place)
    }

    /// The same on an account that the caller has in hand.
    pub(crate) fn charge_unchecked_at(&self, place: Place, bytes: u64) {
        self.accounts.table.entry(place.index).charge(bytes);
        if let Some(keeper) = &self.keeper {
            keeper.ask(&self.accounts, place);
        }
    }

    /// The denial of bytes that are more than the tenant could ever have, as far as is known.
    pub(crate) fn exceeds(&self, tenant: &str, bytes: u64) -> Option<Denied> {
        let limit = self.ceiling(tenant);
        (bytes > limit).then(|| Denied::with_limit(DeniedKind::ExceedsQuota, limit))
    }

    fn ceiling(&self, tenant: &str) -> u64 {
        if let Some(keeper) = &self.keeper {
            if let Some(place) = self.accounts.table.find(tenant) {
                let usage = keeper.usage(&self.accounts, place, tenant);
                self.accounts.table.leave(place);
                if let Some(usage) = usage {
                    return usage.limit.bound();
                }
            }
            // One that is set in the store may be higher.
            return u64::MAX;
        }
        self.accounts.limits.limit_of(tenant).bound()
    }

    /// Ends a reservation: what was stored stays charged, the rest is given back. Gives the reference back, too.
    #[inline]
    pub(crate) fn settle(&self, place: Place, reserved: u64, stored: i64) {
        let entry = self.accounts.table.entry(place.index);
        let kept = u64::try_from(stored).unwrap_or(0);
        if kept > 0 {
            if kept > reserved {
                entry.charge(kept - reserved);
            }
            entry.store(kept);
        }
        if stored < 0 {
            self.credit_at(place, stored.unsigned_abs());
        }
        // Last: what is charged may be all that keeps the entry.
        if reserved > kept {
            entry.release(reserved - kept);
        }
        if let Some(keeper) = &self.keeper {
            if stored >= 0 && keeper.tells_ends() {
                keeper.note_change(&self.accounts, place, 0);
            }
        }
        self.accounts.table.let_go(place);
    }

    /// Gives part of a reservation back.
    pub(crate) fn give_back(&self, place: Place, bytes: u64) {
        self.accounts.table.entry(place.index).release(bytes);
    }

    /// Takes stored bytes back.
    pub(super) fn credit_at(&self, place: Place, bytes: u64) {
        let entry = self.accounts.table.entry(place.index);
        match &self.keeper {
            None => {
                let freed = entry.unstore(bytes);
                entry.release(freed);
            }
            Some(keeper) => keeper.note_change(&self.accounts, place, bytes),
        }
    }

    /// Charges what is stored already.
    pub(super) fn charge_at(&self, place: Place, bytes: u64) {
        let entry = self.accounts.table.entry(place.index);
        entry.charge(bytes);
        entry.store(bytes);
        if let Some(keeper) = &self.keeper {
            keeper.note_change(&self.accounts, place, 0);
        }
    }

    pub(super) fn usage_at(&self, place: Place, tenant: &str) -> Usage {
        let entry = self.accounts.table.entry(place.index);
        let configured = self.accounts.limits.limit_of(tenant);
        let leased = self
            .keeper
            .as_ref()
            .and_then(|keeper| keeper.usage(&self.accounts, place, tenant));
        leased.unwrap_or_else(|| {
            // In this order, so that what is stored is never more than what is charged.
            let used = entry.used();
            let reserved = if self.keeper.is_some() {
                0
            } else {
                entry.charged().saturating_sub(used)
            };
            Usage {
                used,
                reserved,
                held_elsewhere: 0,
                limit: configured,
            }
        })
    }

    pub(crate) fn leave(&self, place: Place) {
        self.accounts.table.leave(place);
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn tenant_at(&self, place: Place) -> Option<Box<str>> {
        self.accounts.table.name_of(place)
    }

    /// Whether a reservation may have to wait.
    pub(crate) fn is_leased(&self) -> bool {
        self.keeper.is_some()
    }

    pub(super) fn apply_bound(&self, tenant: &str) {
        if self.keeper.is_some() {
            return;
        }
        self.accounts.table.with_locked(tenant, |entry| {
            if let Some(entry) = entry {
                entry.set_bound(self.accounts.limits.bound_of(tenant));
            }
        });
    }

    pub(super) fn set_default_limit(&self, limit: Limit) {
        self.accounts.limits.set_default(limit);
        if let Some(keeper) = &self.keeper {
            keeper.beat_now();
        }
    }

    pub(super) fn set_limits(&self, list: HashMap<Box<str>, Limit>) {
        for tenant in self.accounts.limits.set_list(list) {
            self.apply_bound(&tenant);
        }
        if let Some(keeper) = &self.keeper {
            keeper.beat_now();
        }
    }
}

impl fmt::Debug for LedgerInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerInner")
            .field("name", &self.name)
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}
