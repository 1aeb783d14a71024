use crate::{
    capacity::{Charge, Priority, Reason, SizeModel, Tariff},
    resource::{Resource, ResourceAccount, ResourceInner, gate},
};

/// One resource as one layer sees it: what its requests take of it.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    resource: Resource,
    tariff: Tariff,
}

/// How many resources one layer can have: their amounts stand side by side in a hold of fixed size.
pub(crate) const MAX_SCOPES: usize = 8;

/// What was taken of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) bytes: u64,
    pub(super) inode: bool,
}

impl Scope {
    pub(crate) fn new(resource: Resource, charge: Charge, model: SizeModel) -> Self {
        let tariff = Tariff::new(charge, model, resource.account().block_size);
        Self { resource, tariff }
    }

    #[inline]
    pub(super) fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    pub(super) fn resource(&self) -> &Resource {
        &self.resource
    }

    #[inline]
    pub(super) fn core(&self) -> &ResourceInner {
        self.resource.core()
    }

    #[inline]
    pub(super) fn account(&self) -> &ResourceAccount {
        self.resource.account()
    }

    /// What a request that stores `bytes` takes, unless it could never fit.
    #[inline(always)]
    pub(super) fn amount(&self, bytes: u64, priority: Priority) -> Result<u64, Reason> {
        let amount = self.tariff.total(bytes);
        if amount > self.account().ceiling()
            && amount > self.account().ceiling().saturating_add(self.allowance(priority))
        {
            return Err(Reason::ExceedsCapacity);
        }
        Ok(amount)
    }

    #[inline]
    fn allowance(&self, priority: Priority) -> u64 {
        match priority {
            Priority::Usual => 0,
            Priority::Essential => self.account().allowance(),
        }
    }

    /// Takes `amount` if the resource has it.
    #[inline(always)]
    pub(super) fn reserve(&self, amount: u64, priority: Priority) -> Result<Taken, Reason> {
        let account = self.account();
        let gate = account.gate();
        if gate != gate::OPEN || priority == Priority::Essential {
            return self.reserve_at(gate, amount, priority);
        }
        if !account.bytes.try_reserve(amount) {
            return Err(Reason::Space);
        }
        Ok(Taken {
            bytes: amount,
            inode: false,
        })
    }

    #[cold]
    fn reserve_at(&self, gate: u8, amount: u64, priority: Priority) -> Result<Taken, Reason> {
        let account = self.account();
        let allowance = self.allowance(priority);
        match ResourceAccount::closed_because(gate) {
            // That the floor is reached is no reason for whom a part of it is kept.
            Some(_) if gate == gate::FULL && allowance > 0 => {}
            Some(reason) => return Err(reason),
            None => {}
        }
        if gate == gate::UNKNOWN_OPEN {
            // Held all the same, so that the account is right when readings come again.
            let bytes = if account.bytes.force_reserve(amount) { amount } else { 0 };
            return Ok(Taken { bytes, inode: false });
        }
        let inode = gate == gate::COUNT_INODES && self.tariff.charge() == Charge::All;
        if inode && !account.inodes.try_reserve(1) {
            return Err(Reason::Inodes);
        }
        if !account.bytes.try_reserve_with(amount, allowance) {
            if inode {
                account.inodes.refund(1);
            }
            return Err(Reason::Space);
        }
        Ok(Taken { bytes: amount, inode })
    }

    /// Takes `more` for a request that has been admitted already. Only a closed gate refuses by itself: a body that
    /// flows may go on while its bytes fit, also when the resource is called full.
    #[inline]
    pub(super) fn extend(&self, more: u64, priority: Priority) -> Result<u64, Reason> {
        let account = self.account();
        if account.is_exhausted() {
            return Err(Reason::Space);
        }
        if account.bytes.try_reserve_with(more, self.allowance(priority)) {
            return Ok(more);
        }
        match account.gate() {
            gate::UNKNOWN_OPEN => Ok(if account.bytes.force_reserve(more) { more } else { 0 }),
            gate => Err(ResourceAccount::closed_because(gate).unwrap_or(Reason::Space)),
        }
    }
}
