use super::{
    entry::EntryRef,
    limit_book::LimitBook,
    table::{Short, Table},
};

/// What all tenants of a ledger have charged, and what they may.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) table: Table,
    pub(super) limits: LimitBook,
}

impl Accounts {
    /// Finds a tenant's entry or makes one. `None` when there are too many.
    #[inline]
    pub(super) fn acquire(&self, tenant: &str) -> Option<EntryRef> {
        self.table.acquire(tenant, || self.limits.bound_of(tenant))
    }

    /// Charges a tenant in memory for more than no bytes.
    #[inline]
    pub(super) fn charge(&self, tenant: &str, bytes: u64) -> Result<EntryRef, Short> {
        let default = self.limits.default_bound();
        self.table
            .charge(tenant, bytes, default, || self.limits.bound_of(tenant))
    }
}
