use std::sync::Arc;

use crate::{
    capacity::{Charge, ChargeModel, Priority, Reason, SizeModel},
    resource::{Resource, ResourceAccount, gate},
};

/// One resource's account as one layer charges it. Figures only: threads keep them for later requests.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    account: Arc<ResourceAccount>,
    model: ChargeModel,
}

/// How many resources one layer can have: their amounts stand side by side in a slot of fixed size.
pub(crate) const MAX_SCOPES: usize = 8;

impl Scope {
    pub(super) fn new(resource: &Resource, charge: Charge, model: SizeModel) -> Self {
        let account = resource.account().clone();
        Self {
            model: ChargeModel::new(charge, model, account.block_size),
            account,
        }
    }

    #[inline(always)]
    pub(super) fn account(&self) -> &ResourceAccount {
        &self.account
    }

    #[inline(always)]
    pub(super) fn model(&self) -> &ChargeModel {
        &self.model
    }

    /// Whether the bytes of bodies land here whole, as on the disk they are written to.
    pub(super) fn stores_bodies(&self) -> bool {
        self.model.charge() == Charge::All
    }

    /// What a request that stores `bytes` takes, unless it could never fit.
    #[inline(always)]
    pub(super) fn amount(&self, bytes: u64, priority: Priority) -> Result<u64, Reason> {
        let amount = self.model.total(bytes);
        let ceiling = self.account.ceiling();
        if amount > ceiling && amount > ceiling.saturating_add(self.allowance(priority)) {
            return Err(Reason::ExceedsCapacity);
        }
        Ok(amount)
    }

    fn allowance(&self, priority: Priority) -> u64 {
        match priority {
            Priority::Usual => 0,
            Priority::Essential => self.account.allowance(),
        }
    }

    /// Fast path: takes what a usual request needs while the gate is open. Headroom is never above the ceiling, so what
    /// could never fit is not taken either.
    #[inline(always)]
    pub(super) fn try_take(&self, bytes: u64) -> Option<u64> {
        let amount = self.model.total(bytes);
        (self.account.gate() == gate::OPEN && self.account.bytes.try_reserve(amount)).then_some(amount)
    }

    /// Takes what a request needs at any gate and with any priority. Returns the amount, and whether an inode was taken.
    pub(super) fn take(&self, bytes: u64, priority: Priority) -> Result<(u64, bool), Reason> {
        let amount = self.amount(bytes, priority)?;
        let account = &*self.account;
        let allowance = self.allowance(priority);
        let gate = account.gate();
        match ResourceAccount::closed_because(gate) {
            // Essential requests may use a part of the floor, unless the storage itself says that it is full.
            Some(_) if gate == gate::FULL && allowance > 0 && !account.is_exhausted() => {}
            Some(reason) => return Err(reason),
            None => {}
        }
        if gate == gate::UNKNOWN_OPEN {
            return Ok((self.take_unchecked(amount), false));
        }
        let has_inode = gate == gate::COUNT_INODES && self.stores_bodies();
        if has_inode && !account.inodes.try_reserve(1) {
            return Err(Reason::Inodes);
        }
        if !account.bytes.try_reserve_with(amount, allowance) {
            if has_inode {
                account.inodes.refund(1);
            }
            return Err(Reason::Space);
        }
        Ok((amount, has_inode))
    }

    /// Takes `more` for a request that is admitted already. A body that flows goes on while its bytes fit, even when the
    /// resource counts as full.
    #[inline]
    pub(super) fn extend(&self, more: u64, priority: Priority) -> Result<u64, Reason> {
        let account = &*self.account;
        if account.is_exhausted() {
            return Err(Reason::Space);
        }
        if account.bytes.try_reserve_with(more, self.allowance(priority)) {
            return Ok(more);
        }
        match account.gate() {
            gate::UNKNOWN_OPEN => Ok(self.take_unchecked(more)),
            gate => Err(ResourceAccount::closed_because(gate).unwrap_or(Reason::Space)),
        }
    }

    /// Takes the amount whether it fits or not, so that the account is right when readings come again. Absurd amounts are
    /// not counted.
    fn take_unchecked(&self, amount: u64) -> u64 {
        if self.account.bytes.force_reserve(amount) {
            amount
        } else {
            0
        }
    }
}
