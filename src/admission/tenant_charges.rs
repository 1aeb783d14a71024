//! What a request reserves of its tenants' limits.

use std::{borrow::Cow, sync::Arc};

use super::{Stored, rules::Rules};
use crate::{
    capacity::Refusal,
    tenant::{Attempt, Denied, EntryRef, LedgerInner, Waiter},
};

/// How many ledgers one layer can charge, such as an organisation's and a user's.
pub(crate) const MAX_TENANTS: usize = 4;

/// The tenants that a request is charged to, one for each of the layer's ledgers; none where nobody is charged.
pub(crate) type TenantNames<'a> = [Option<Cow<'a, str>>; MAX_TENANTS];

/// The charges of one request. Dropping them gives everything back.
#[derive(Debug)]
pub(super) struct TenantCharges {
    rules: Arc<Rules>,
    charges: [Option<Charge>; MAX_TENANTS],
    /// Bytes that a successful request stores even if its body does not bring them.
    stored_elsewhere: u64,
    /// How many bytes are stored, where the response tells.
    stored: Option<Stored>,
}

#[derive(Debug)]
struct Charge {
    entry: EntryRef,
    reserved: u64,
}

/// Why a ledger does not give what it is asked for, by its place.
#[derive(Debug)]
pub(super) enum Shortfall {
    Denied(usize, Denied),
    /// The store must be asked first.
    Waits(usize, Arc<Waiter>),
}

impl TenantCharges {
    pub(super) fn new(rules: &Arc<Rules>, stored_elsewhere: u64) -> Self {
        Self {
            rules: rules.clone(),
            charges: Default::default(),
            stored_elsewhere,
            stored: None,
        }
    }

    /// Hands the charges over, and leaves none.
    pub(super) fn take(&mut self) -> Self {
        Self {
            rules: self.rules.clone(),
            charges: std::mem::take(&mut self.charges),
            ..*self
        }
    }

    /// Reserves `bytes` of each ledger that is not charged yet.
    pub(super) fn reserve(&mut self, names: &TenantNames<'_>, bytes: u64) -> Result<(), Shortfall> {
        for (at, (ledger, charge)) in self.rules.ledgers.iter().zip(&mut self.charges).enumerate() {
            let (None, Some(name)) = (&charge, names.get(at).and_then(Option::as_deref)) else {
                continue;
            };
            let (entry, reserved, shortfall) = match ledger.core().attempt(name, bytes, true) {
                Attempt::Granted(entry) => (entry, bytes, None),
                Attempt::Waits(entry, waiter) => (entry, 0, Some(Shortfall::Waits(at, waiter))),
                Attempt::Denied(denied) => return Err(Shortfall::Denied(at, denied)),
            };
            *charge = Some(Charge { entry, reserved });
            if let Some(shortfall) = shortfall {
                return Err(shortfall);
            }
        }
        Ok(())
    }

    /// Charges `bytes` to each ledger whatever it allows, so that usage stays true where refusals are only reported.
    pub(super) fn charge_unchecked(&mut self, names: &TenantNames<'_>, bytes: u64) {
        self.fill(names, bytes, |ledger, name| ledger.charge_unchecked(name, bytes));
    }

    /// Takes hold of the accounts without reserving anything, so that what is freed can be credited.
    pub(super) fn acquire(&mut self, names: &TenantNames<'_>) {
        self.fill(names, 0, LedgerInner::acquire);
    }

    fn fill(&mut self, names: &TenantNames<'_>, reserved: u64, enter: impl Fn(&LedgerInner, &str) -> Option<EntryRef>) {
        for ((ledger, charge), name) in self.rules.ledgers.iter().zip(&mut self.charges).zip(names) {
            let entry = name.as_deref().and_then(|name| enter(ledger.core(), name));
            if let Some(entry) = entry {
                *charge = Some(Charge { entry, reserved });
            }
        }
    }

    /// Reserves of each ledger what is missing to `bytes`. After a failure, what the earlier ledgers gave is to be [given
    /// back](Self::give_back_beyond).
    pub(super) fn extend(&mut self, bytes: u64) -> Result<(), Shortfall> {
        for (at, (ledger, charge)) in self.rules.ledgers.iter().zip(&mut self.charges).enumerate() {
            let Some(charge) = charge else { continue };
            let missing = bytes.saturating_sub(charge.reserved);
            if missing == 0 {
                continue;
            }
            match ledger.core().charge_more(&charge.entry, missing, true) {
                Ok(None) => charge.reserved += missing,
                Ok(Some(waiter)) => return Err(Shortfall::Waits(at, waiter)),
                Err(denied) => return Err(Shortfall::Denied(at, denied)),
            }
        }
        Ok(())
    }

    /// Gives back what is reserved beyond `bytes`.
    pub(super) fn give_back_beyond(&mut self, bytes: u64) {
        for (ledger, charge) in self.rules.ledgers.iter().zip(&mut self.charges).rev() {
            if let Some(charge) = charge {
                let excess = charge.reserved.saturating_sub(bytes);
                ledger.core().give_back(&charge.entry, excess);
                charge.reserved -= excess;
            }
        }
    }

    /// The same whatever the ledgers allow.
    pub(super) fn extend_unchecked(&mut self, bytes: u64) {
        for (ledger, charge) in self.rules.ledgers.iter().zip(&mut self.charges) {
            if let Some(charge) = charge {
                let missing = bytes.saturating_sub(charge.reserved);
                ledger.core().charge_unchecked_at(&charge.entry, missing);
                charge.reserved += missing;
            }
        }
    }

    /// The ledger at this place has granted what was waited for.
    pub(super) fn add_granted(&mut self, at: usize, bytes: u64) {
        if let Some(Some(charge)) = self.charges.get_mut(at) {
            charge.reserved = charge.reserved.saturating_add(bytes);
        }
    }

    /// The response tells how many bytes are stored.
    pub(super) fn set_stored(&mut self, stored: Stored) {
        self.stored = Some(stored);
    }

    /// Ends the reservation: what is stored stays charged, the rest is given back. `relayed` is told if the response says
    /// that the body is stored.
    pub(super) fn settle(&mut self, relayed: Option<u64>) {
        let stored = match (self.stored, relayed) {
            (Some(Stored(bytes)), _) => bytes,
            (None, Some(relayed)) => i64::try_from(relayed.max(self.stored_elsewhere)).unwrap_or(i64::MAX),
            (None, None) => 0,
        };
        self.end(stored);
    }

    fn end(&mut self, stored: i64) {
        for (ledger, charge) in self.rules.ledgers.iter().zip(&mut self.charges).rev() {
            if let Some(Charge { entry, reserved }) = charge.take() {
                ledger.core().settle(entry, reserved, stored);
            }
        }
    }

    /// The refusal of `requested` bytes in all by the ledger at this place.
    pub(super) fn refusal(&self, at: usize, denied: Denied, requested: u64) -> Refusal {
        let tenant = self.charges.get(at).and_then(Option::as_ref);
        let tenant = tenant.map_or("", |charge| charge.entry.tenant());
        self.rules.tenant_refusal(denied, at, tenant, requested)
    }

    /// The refusal by a ledger that could never give so much, if there is one.
    pub(super) fn exceeded(&self, bytes: u64) -> Option<Refusal> {
        let mut charged = self.rules.ledgers.iter().zip(&self.charges).enumerate();
        charged.find_map(|(at, (ledger, charge))| {
            let denied = ledger.core().exceeds(charge.as_ref()?.entry.tenant(), bytes)?;
            Some(self.refusal(at, denied, bytes))
        })
    }
}

impl Drop for TenantCharges {
    fn drop(&mut self) {
        self.end(0);
    }
}
