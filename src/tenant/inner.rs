use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    Accounts, Denied, DeniedKind, Limit, Usage,
    entry::{Entry, EntryRef},
    lease::{Keeper, Waiter},
    table::Short,
};

/// What the handles of a ledger share with requests and threads.
pub(crate) struct LedgerInner {
    pub(super) name: Arc<str>,
    pub(super) accounts: Accounts,
    pub(super) keeper: Option<Keeper>,
    /// The tenant charged for those whom the table has no room for.
    pub(super) overflow: Option<EntryRef>,
}

/// How an attempt to reserve ends, or goes on.
#[derive(Debug)]
pub(crate) enum Attempt {
    Granted(EntryRef),
    Denied(Denied),
    /// The store must be asked.
    Waits(EntryRef, Arc<Waiter>),
}

impl LedgerInner {
    /// Finds a tenant's entry, or makes one.
    #[inline]
    pub(crate) fn acquire(&self, tenant: &str) -> Option<EntryRef> {
        self.accounts.acquire(tenant).or_else(|| self.overflow.clone())
    }

    /// Reserves bytes for a tenant; may have to wait for the store if `may_wait`.
    #[inline]
    pub(crate) fn attempt(&self, tenant: &str, bytes: u64, may_wait: bool) -> Attempt {
        if self.keeper.is_none() && bytes > 0 {
            return match self.accounts.charge(tenant, bytes) {
                Ok(entry) => Attempt::Granted(entry),
                Err(Short::NoRoom) => self.charge_overflow_tenant(bytes),
                Err(Short::Beyond(bound)) => Attempt::Denied(Denied::beyond(bytes, bound)),
            };
        }
        self.charge_acquired(self.acquire(tenant), bytes, may_wait)
    }

    #[cold]
    fn charge_overflow_tenant(&self, bytes: u64) -> Attempt {
        self.charge_acquired(self.overflow.clone(), bytes, false)
    }

    fn charge_acquired(&self, entry: Option<EntryRef>, bytes: u64, may_wait: bool) -> Attempt {
        let Some(entry) = entry else {
            return Attempt::Denied(Denied::new(DeniedKind::Unknown));
        };
        match self.charge_more(&entry, bytes, may_wait) {
            Ok(None) => Attempt::Granted(entry),
            Ok(Some(waiter)) => Attempt::Waits(entry, waiter),
            Err(denied) => Attempt::Denied(denied),
        }
    }

    /// Charges more to an entry. `Some` is what to wait for.
    #[inline]
    pub(crate) fn charge_more(
        &self,
        entry: &EntryRef,
        bytes: u64,
        may_wait: bool,
    ) -> Result<Option<Arc<Waiter>>, Denied> {
        let bound = entry.balance.bound(self.accounts.limits.default_bound());
        if let Some(charged) = entry.balance.try_charge(bytes, bound) {
            if let Some(keeper) = &self.keeper {
                keeper.note_charge(entry, charged);
            }
            return Ok(None);
        }
        match &self.keeper {
            None => Err(Denied::beyond(bytes, bound)),
            Some(keeper) => self.charge_by_asking(keeper, entry, bytes, may_wait),
        }
    }

    #[cold]
    fn charge_by_asking(
        &self,
        keeper: &Keeper,
        entry: &EntryRef,
        bytes: u64,
        may_wait: bool,
    ) -> Result<Option<Arc<Waiter>>, Denied> {
        if !may_wait {
            keeper.ask(entry);
            return Err(Denied::new(DeniedKind::WouldWait));
        }
        match keeper.wait_for(&self.accounts, entry, bytes) {
            Ok(waiter) => Ok(Some(waiter)),
            Err(outcome) => outcome.map(|()| None),
        }
    }

    /// Reserves bytes whatever the limit says.
    pub(crate) fn charge_unchecked(&self, tenant: &str, bytes: u64) -> Option<EntryRef> {
        let entry = self.acquire(tenant)?;
        self.charge_unchecked_at(&entry, bytes);
        Some(entry)
    }

    /// Reserves more bytes at an entry, whatever the limit says.
    pub(crate) fn charge_unchecked_at(&self, entry: &EntryRef, bytes: u64) {
        entry.balance.charge(bytes);
        if let Some(keeper) = &self.keeper {
            keeper.ask(entry);
        }
    }

    /// The denial of bytes that are more than the tenant could ever have, as far as is known.
    pub(crate) fn exceeds(&self, tenant: &str, bytes: u64) -> Option<Denied> {
        let limit = self.ceiling(tenant);
        (bytes > limit).then(|| Denied::with_limit(DeniedKind::ExceedsQuota, limit))
    }

    fn ceiling(&self, tenant: &str) -> u64 {
        let configured = self.accounts.limits.limit_of(tenant);
        let Some(keeper) = &self.keeper else {
            return configured.bound();
        };
        let entry = self.accounts.table.find(tenant);
        let usage = entry.and_then(|entry| keeper.usage(&entry, configured));
        // A limit that is set in the store may be higher.
        usage.map_or(u64::MAX, |usage| usage.limit.bound())
    }

    /// Ends a reservation: what was stored stays charged, the rest is given back.
    #[inline]
    pub(crate) fn settle(&self, entry: EntryRef, reserved: u64, stored: i64) {
        let kept = u64::try_from(stored).unwrap_or(0);
        if kept > 0 {
            if kept > reserved {
                entry.balance.charge(kept - reserved);
            }
            entry.balance.store(kept);
        }
        if stored < 0 {
            self.credit_at(&entry, stored.unsigned_abs());
        }
        // Last, because the charge may be all that keeps the entry.
        if reserved > kept {
            entry.balance.release(reserved - kept);
        }
        if let Some(keeper) = &self.keeper {
            if stored >= 0 && keeper.tells_ends() {
                keeper.note_change(&entry, 0);
            }
        }
    }

    /// Gives part of a reservation back, or all of it.
    pub(crate) fn give_back(&self, entry: &EntryRef, bytes: u64) {
        entry.ensure_counted();
        entry.balance.release(bytes);
    }

    /// Takes stored bytes back.
    pub(super) fn credit_at(&self, entry: &EntryRef, bytes: u64) {
        match &self.keeper {
            None => {
                let freed = entry.balance.unstore(bytes);
                entry.balance.release(freed);
            }
            Some(keeper) => keeper.note_change(entry, bytes),
        }
    }

    /// Charges what is stored already.
    pub(super) fn charge_at(&self, entry: &EntryRef, bytes: u64) {
        entry.balance.charge(bytes);
        entry.balance.store(bytes);
        if let Some(keeper) = &self.keeper {
            keeper.note_change(entry, 0);
        }
    }

    pub(super) fn usage_at(&self, entry: &Entry) -> Usage {
        let limit = self.accounts.limits.limit_of(entry.name.as_str());
        let leased = self.keeper.as_ref().and_then(|keeper| keeper.usage(entry, limit));
        leased.unwrap_or_else(|| {
            // In this order, so that what is stored is never more than what is charged.
            let used = entry.balance.used();
            let reserved = if self.keeper.is_some() {
                0
            } else {
                entry.balance.charged().saturating_sub(used)
            };
            Usage {
                used,
                reserved,
                held_elsewhere: 0,
                limit,
            }
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether a reservation may have to wait.
    pub(crate) fn is_leased(&self) -> bool {
        self.keeper.is_some()
    }

    pub(super) fn apply_bound(&self, tenant: &str) {
        if self.keeper.is_some() {
            return;
        }
        let bound = || self.accounts.limits.bound_of(tenant);
        self.accounts.table.set_bound(tenant, bound);
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

#[cfg(test)]
mod tests {
    use crate::tenant::{Attempt, Ledger};

    #[test]
    fn a_reservation_keeps_its_tenant_when_all_is_given_back() {
        let ledger = Ledger::builder().build().expect("sound");
        let core = ledger.core();
        let Attempt::Granted(entry) = core.attempt("a", 5, false) else {
            panic!("there is no limit");
        };
        core.give_back(&entry, 5);
        drop(ledger.try_reserve("a", 1));
        ledger.credit("a", 1);
        assert_eq!(ledger.report().tenants, 1);
        assert!(core.charge_more(&entry, 7, false).is_ok());
        core.settle(entry, 7, 6);
        assert_eq!((ledger.usage("a").used, ledger.usage("a").reserved), (6, 0));
    }
}
