use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Method, request::Parts};
use http_body::Body;

use super::response_context::ResponseContext;
use crate::{
    admission::{self, Admission, Admitted, PendingAdmission, Shortage, TenantNames},
    capacity::{Claim, Priority, Reason, Refusal},
    respond::{self, Class, Classifier, Estimate, HeadRef, Key, LengthHints, MissingTenant, class_of},
};

/// Picks the requests that may use a part of the floor.
pub(super) type Essential = dyn Fn(&Parts) -> bool + Send + Sync;

/// What all services of a layer share.
pub(super) struct Shared {
    pub(super) enabled: bool,
    /// `PUT`, `POST` and `PATCH` of known length need no more than that: no setting asks for anything else.
    pub(super) decides_by_length: bool,
    /// Safe methods store nothing (RFC 9110 section 9.2.1), unless a classifier says otherwise.
    pub(super) exempts_safe_methods: bool,
    pub(super) exposes_reservation: bool,
    pub(super) admission: Admission,
    /// One for each ledger of the admission.
    pub(super) tenant_keys: Vec<Key>,
    pub(super) missing_tenant: MissingTenant,
    /// None: [`DefaultClassifier`](crate::DefaultClassifier), which needs no more than the method.
    pub(super) classifier: Option<Box<dyn Classifier>>,
    pub(super) essential: Option<Box<Essential>>,
    pub(super) length_hints: LengthHints,
    pub(super) response_context: Arc<ResponseContext>,
}

/// What is decided about a request.
pub(super) enum Decision {
    Decided(Decided),
    /// A ledger has to ask its store.
    Waits(Box<PendingAdmission>),
}

/// What becomes of a request.
pub(super) enum Decided {
    Admitted(Admitted),
    /// It goes on, and nothing is reserved.
    Untracked,
    Refused(Refusal),
}

impl Shared {
    /// Whether a setting looks at the request's parts.
    #[inline]
    pub(super) fn needs_parts(&self) -> bool {
        self.classifier.is_some() || self.essential.is_some() || self.tenant_keys.iter().any(Key::wants_parts)
    }

    /// Whether the method alone says that there is nothing to decide and nothing to count.
    #[inline]
    pub(super) fn is_exempt(&self, method: &Method) -> bool {
        // A safe method cannot have freed anything either (RFC 9110 section 9.2.1).
        let is_exempt = self.classifier.is_none()
            && class_of(method) == Class::Exempt
            && (self.tenant_keys.is_empty() || method.is_safe());
        is_exempt || !self.enabled
    }

    #[inline(always)]
    pub(super) fn estimate(&self, class: Class, head: HeadRef<'_>, body: &impl Body) -> Estimate {
        respond::estimate(class, head, body, &self.length_hints)
    }

    /// Estimates what a request stores, and decides about it. `parts` are there if a setting needs them.
    #[inline(always)]
    pub(super) fn decide<B: Body>(&self, head: HeadRef<'_>, parts: Option<&Parts>, body: &B) -> (Estimate, Decision) {
        let class = match (&self.classifier, parts) {
            (Some(classifier), Some(parts)) => classifier.classify(parts),
            _ => class_of(head.method()),
        };
        let mut estimate = self.estimate(class, head, body);
        let decision = match &mut estimate.claim {
            None => Decision::Decided(self.decide_exempt(head, parts)),
            Some(claim) => {
                if let (Some(essential), Some(parts)) = (&self.essential, parts) {
                    if essential(parts) {
                        claim.priority = Priority::Essential;
                    }
                }
                if self.tenant_keys.is_empty() {
                    Decision::Decided(match self.admission.reserve(claim) {
                        Ok(admitted) => Decided::Admitted(admitted),
                        Err(shortage) => self.deny(claim, shortage),
                    })
                } else {
                    self.decide_for_tenants(claim, head, parts)
                }
            }
        };
        (estimate, decision)
    }

    /// Refuses a claim that could not be reserved.
    #[cold]
    pub(super) fn deny(&self, claim: &Claim, shortage: Shortage) -> Decided {
        self.refuse(self.admission.refusal(claim, shortage), claim, None)
    }

    /// The response of an exempt request may say that it freed something.
    fn decide_exempt(&self, head: HeadRef<'_>, parts: Option<&Parts>) -> Decided {
        if self.tenant_keys.is_empty() || head.method().is_safe() {
            return Decided::Untracked;
        }
        match self.tenants(head, parts) {
            Ok(names) => Decided::Admitted(self.admission.follow(&names)),
            Err(_) => Decided::Untracked,
        }
    }

    fn decide_for_tenants(&self, claim: &Claim, head: HeadRef<'_>, parts: Option<&Parts>) -> Decision {
        let names = match self.tenants(head, parts) {
            Ok(names) => names,
            Err(reason) => return Decision::Decided(self.refuse(Refusal::new(reason), claim, None)),
        };
        match self.admission.admit_for(claim, &names) {
            admission::Decision::Admitted(admitted) => Decision::Decided(Decided::Admitted(admitted)),
            admission::Decision::Refused(refusal) => Decision::Decided(self.refuse(refusal, claim, Some(&names))),
            // What refuses nothing must not hold anything up either.
            admission::Decision::Waits(_) if self.admission.limits().report_only() => {
                Decision::Decided(Decided::Admitted(self.admission.admit_unchecked(claim, &names)))
            }
            admission::Decision::Waits(pending) => Decision::Waits(pending),
        }
    }

    /// Records a refusal. Where refusals are only reported, the request goes on, and its tenants are charged.
    #[cold]
    fn refuse(&self, refusal: Refusal, claim: &Claim, names: Option<&TenantNames<'_>>) -> Decided {
        if self.admission.record_refusal(&refusal) {
            Decided::Refused(refusal)
        } else if let Some(names) = names {
            Decided::Admitted(self.admission.admit_unchecked(claim, names))
        } else {
            Decided::Untracked
        }
    }

    /// Goes on with a decision that waits.
    pub(super) fn poll_decision(&self, pending: &mut PendingAdmission, context: &Context<'_>) -> Poll<Decided> {
        let outcome = ready!(self.admission.poll(pending, context));
        Poll::Ready(match outcome {
            Ok(admitted) => Decided::Admitted(admitted),
            Err(refusal) => {
                let (claim, names) = pending.claim();
                self.refuse(refusal, claim, Some(names))
            }
        })
    }

    /// The tenants that the request is charged to.
    #[inline]
    fn tenants<'a>(&'a self, head: HeadRef<'a>, parts: Option<&'a Parts>) -> Result<TenantNames<'a>, Reason> {
        let mut names = TenantNames::default();
        for (name, key) in names.iter_mut().zip(&self.tenant_keys) {
            *name = self.missing_tenant.resolve(key.tenant(head, parts))?;
        }
        Ok(names)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("enabled", &self.enabled)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
