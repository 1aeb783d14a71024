use std::{
    any::Any,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    BodyReservation, LiveLimits, LiveSettings, PendingAdmission, ResponseReservation,
    counters::{Counters, RefusalCounts},
    reservation::{OwnedContext, Shortage, split},
    rules::Rules,
    scope::Scope,
    tenant_charges::{Shortfall, TenantCharges, TenantNames},
};
use crate::{
    capacity::{Charge, Claim, Observer, Reason, Refusal, SizeModel},
    resource::Resource,
    tenant::Ledger,
};

/// Decides about the claims of one layer, by its resources, ledgers and limits.
///
/// It does not know whether refusals are enforced: a layer that only reports them asks for what is admitted anyway with
/// [`admit_unchecked`](Self::admit_unchecked).
#[derive(Debug)]
pub(crate) struct Admission {
    context: OwnedContext,
}

/// The parts of a reservation, for the request body and for the response.
pub(crate) type Admitted = (BodyReservation, ResponseReservation);

/// What is decided about a claim.
pub(crate) enum Decision {
    Admitted(Admitted),
    Refused(Refusal),
    /// A ledger has to ask its store; [`Admission::poll`] decides.
    Waits(Box<PendingAdmission>),
}

impl Admission {
    /// `response_context` is what the layer itself needs to answer late.
    pub(crate) fn new(
        resources: Vec<(Resource, Charge)>,
        model: SizeModel,
        ledgers: Vec<Ledger>,
        limits: Arc<LiveLimits>,
        observers: Vec<Arc<dyn Observer>>,
        response_context: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        let scopes = resources
            .iter()
            .map(|(resource, charge)| Scope::new(resource, *charge, model));
        let scopes = scopes.collect();
        let rules = Rules {
            resources: resources.into_iter().map(|(resource, _)| resource).collect(),
            ledgers: ledgers.into(),
            limits,
            counters: Counters::default(),
            observers: observers.into(),
        };
        Self {
            context: OwnedContext::new(scopes, rules, response_context),
        }
    }

    /// Reserves what a claim asks for of all resources, or of none.
    #[inline(always)]
    pub(crate) fn reserve(&self, claim: &Claim) -> Result<Admitted, Shortage> {
        self.context.figures.reserve(claim).map(split)
    }

    /// The refusal of a claim that could not be reserved. It asks for a measurement of the resource that had not enough.
    #[cold]
    pub(crate) fn refusal(&self, claim: &Claim, shortage: Shortage) -> Refusal {
        let place = usize::from(shortage.place);
        if let Some(resource) = self.rules().resources.get(place) {
            resource.account().refresh();
        }
        let bytes = self.charged_bytes(claim);
        // The length is not known, so no figure is told.
        let requested = (shortage.reason != Reason::LengthRequired).then_some(bytes);
        let refusal = self.rules().refusal(shortage.reason, Some(place), requested);
        self.permanent_first(claim, bytes, None, refusal)
    }

    /// The same as [`reserve`](Self::reserve), on the accounts of tenants as well: first theirs, then the resources'.
    pub(crate) fn admit_for(&self, claim: &Claim, names: &TenantNames<'_>) -> Decision {
        let claim = &Claim {
            bytes: self.charged_bytes(claim),
            ..*claim
        };
        let bytes = claim.bytes;
        // Before anybody is charged; the reservation looks again.
        if let Some(reason) = self.rules().limits.excludes(claim, bytes) {
            return Decision::Refused(self.refusal(claim, Shortage::of_none(reason)));
        }
        let mut charges = TenantCharges::new(self.context.rules(), claim.stored_elsewhere);
        match charges.reserve(names, bytes) {
            Ok(()) => match self.reserve_charged(claim, charges) {
                Ok(admitted) => Decision::Admitted(admitted),
                Err(refusal) => Decision::Refused(refusal),
            },
            Err(Shortfall::Waits(at, waiter)) => {
                let pending = PendingAdmission::new(claim, names, charges, (at, waiter));
                Decision::Waits(Box::new(pending))
            }
            Err(Shortfall::Denied(at, denied)) => {
                let name = names.get(at).and_then(Option::as_deref).unwrap_or_default();
                let refusal = self.rules().tenant_refusal(denied, at, name, bytes);
                Decision::Refused(self.permanent_first(claim, bytes, Some(names), refusal))
            }
        }
    }

    /// Goes on with an admission that had to wait.
    pub(crate) fn poll(
        &self,
        pending: &mut PendingAdmission,
        context: &Context<'_>,
    ) -> Poll<Result<Admitted, Refusal>> {
        let outcome = ready!(pending.poll(self.rules(), context));
        let (claim, names) = pending.claim();
        Poll::Ready(match outcome {
            Ok(charges) => self.reserve_charged(claim, charges),
            Err(refusal) => Err(self.permanent_first(claim, claim.bytes, Some(names), refusal)),
        })
    }

    /// Reserves of the resources what is charged to tenants already. If they have not enough, the charges are dropped and so
    /// given back.
    #[inline(always)]
    fn reserve_charged(&self, claim: &Claim, charges: TenantCharges) -> Result<Admitted, Refusal> {
        let reserved = self.context.figures.reserve(claim);
        let reservation = reserved.map_err(|shortage| self.refusal(claim, shortage))?;
        reservation.charge(charges, claim.bytes);
        Ok(split(reservation))
    }

    /// Admits a request whatever its claim is: tenants are charged, and nothing is reserved of resources.
    pub(crate) fn admit_unchecked(&self, claim: &Claim, names: &TenantNames<'_>) -> Admitted {
        let mut charges = TenantCharges::new(self.context.rules(), claim.stored_elsewhere);
        let claim = Claim {
            bytes: self.charged_bytes(claim),
            ..*claim
        };
        charges.charge_unchecked(names, claim.bytes);
        self.reserve_nothing(&claim, charges)
    }

    /// Follows an exempt request, whose response may say that something was freed.
    pub(crate) fn follow(&self, names: &TenantNames<'_>) -> Admitted {
        let mut charges = TenantCharges::new(self.context.rules(), 0);
        charges.acquire(names);
        self.reserve_nothing(&Claim::default(), charges)
    }

    fn reserve_nothing(&self, claim: &Claim, charges: TenantCharges) -> Admitted {
        let reservation = self.context.figures.reserve_nothing(claim);
        reservation.charge(charges, claim.bytes);
        split(reservation)
    }

    /// Prefers a permanent refusal over a temporary one, so that no client waits for nothing.
    fn permanent_first(&self, claim: &Claim, bytes: u64, names: Option<&TenantNames<'_>>, refusal: Refusal) -> Refusal {
        // The largest body and the length come first, whatever else there is.
        if matches!(refusal.reason(), Reason::TooLarge | Reason::LengthRequired) {
            return refusal;
        }
        if let Some(permanent) = self.context.exceeded_scope(bytes, claim.priority) {
            return permanent;
        }
        if refusal.is_permanent() {
            return refusal;
        }
        let by_ledger = || {
            self.rules().ledgers.iter().enumerate().find_map(|(at, ledger)| {
                let name = names?.get(at)?.as_deref()?;
                let denied = ledger.core().exceeds(name, bytes)?;
                Some(self.rules().tenant_refusal(denied, at, name, bytes))
            })
        };
        by_ledger().unwrap_or(refusal)
    }

    /// What a claim counts, with the minimum charge.
    fn charged_bytes(&self, claim: &Claim) -> u64 {
        claim.bytes.max(self.rules().limits.minimum())
    }

    /// Counts a refusal and emits its event. Returns whether it is enforced.
    pub(crate) fn record_refusal(&self, refusal: &Refusal) -> bool {
        self.rules().record_refusal(refusal)
    }

    fn rules(&self) -> &Rules {
        self.context.rules()
    }
}

impl Admission {
    pub(crate) fn limits(&self) -> &Arc<LiveLimits> {
        &self.rules().limits
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.rules().resources.iter()
    }

    pub(crate) fn live(&self, is_enabled: bool) -> LiveSettings {
        let rules = self.rules();
        let has_use = !is_enabled || !rules.resources.is_empty() || !rules.ledgers.is_empty();
        LiveSettings::new(rules.limits.clone(), rules.resources.to_vec(), has_use)
    }

    /// How many requests were admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.context.figures.admitted()
    }

    /// What was refused, or in report-only mode would have been.
    pub(crate) fn refused(&self, enforced: bool) -> RefusalCounts {
        self.rules().counters.refused(enforced)
    }

    /// How many admitted requests met a storage that said itself that it is full.
    pub(crate) fn late_failures(&self) -> u64 {
        self.rules().counters.late()
    }
}
