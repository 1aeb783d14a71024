use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    rules::Rules,
    tenant_charges::{Shortfall, TenantCharges, TenantNames},
};
use crate::{
    capacity::{Claim, Refusal},
    tenant::{Denied, Waiter},
};

/// An admission that waits for a ledger's store. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct PendingAdmission {
    /// With the minimum charge in its bytes.
    claim: Claim,
    names: TenantNames<'static>,
    charges: TenantCharges,
    waits: Option<(usize, Arc<Waiter>)>,
}

impl PendingAdmission {
    pub(super) fn new(
        claim: &Claim,
        names: &TenantNames<'_>,
        charges: TenantCharges,
        waits: (usize, Arc<Waiter>),
    ) -> Self {
        let owned = |name: &Option<Cow<'_, str>>| name.as_ref().map(|name| Cow::Owned(name.clone().into_owned()));
        Self {
            claim: *claim,
            names: std::array::from_fn(|at| names.get(at).and_then(owned)),
            charges,
            waits: Some(waits),
        }
    }

    /// What is claimed, and of whom.
    pub(crate) fn claim(&self) -> (&Claim, &TenantNames<'static>) {
        (&self.claim, &self.names)
    }

    /// Waits until each ledger has given what is claimed, or one has refused.
    pub(super) fn poll(&mut self, rules: &Rules, context: &Context<'_>) -> Poll<Result<TenantCharges, Refusal>> {
        while let Some((at, waiter)) = &self.waits {
            let outcome = ready!(waiter.poll(context));
            let at = *at;
            self.waits = None;
            if let Err(denied) = outcome {
                return Poll::Ready(Err(self.refusal(rules, at, denied)));
            }
            self.charges.add_granted(at, self.claim.bytes);
            match self.charges.reserve(&self.names, self.claim.bytes) {
                Ok(()) => break,
                Err(Shortfall::Waits(at, waiter)) => self.waits = Some((at, waiter)),
                Err(Shortfall::Denied(at, denied)) => return Poll::Ready(Err(self.refusal(rules, at, denied))),
            }
        }
        Poll::Ready(Ok(self.charges.take()))
    }

    fn refusal(&self, rules: &Rules, at: usize, denied: Denied) -> Refusal {
        let name = self.names.get(at).and_then(Option::as_deref).unwrap_or_default();
        rules.tenant_refusal(denied, at, name, self.claim.bytes)
    }
}

impl Drop for PendingAdmission {
    fn drop(&mut self) {
        if let Some((at, waiter)) = self.waits.take() {
            if waiter.abandon() {
                self.charges.add_granted(at, self.claim.bytes);
            }
        }
    }
}
