use std::{fmt, sync::Arc};

use super::{Hold, Limits, Scope, hold::Pool};
use crate::capacity::{Demand, Event, Observer, Priority, Reason, Refusal, notify};

/// Decides about demands, with the scopes and limits of one layer.
#[derive(Debug)]
pub(crate) struct Admission {
    rules: Arc<Rules>,
    pools: Box<[Arc<Pool>]>,
}

/// What is decided.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Go on; this much is held.
    Admitted(Hold),
    /// Go on; nothing is held: the demand is exempt, or would have been refused and is only reported.
    Passed,
    Refused(Refusal),
}

/// What a decision is made by.
pub(super) struct Rules {
    pub(super) scopes: Box<[Scope]>,
    pub(super) limits: Limits,
    observers: Box<[Arc<dyn Observer>]>,
}

impl Admission {
    pub(crate) fn new(scopes: Vec<Scope>, limits: Limits, observers: Vec<Arc<dyn Observer>>) -> Self {
        let rules = Arc::new(Rules {
            scopes: scopes.into(),
            limits,
            observers: observers.into(),
        });
        Self {
            pools: Pool::several(&rules),
            rules,
        }
    }

    /// Reserves what the demand needs of all scopes, or of none. What could never fit is found before what does not fit
    /// now, so that a client is not told to wait for nothing.
    #[inline]
    pub(crate) fn admit(&self, demand: Demand, priority: Priority) -> Verdict {
        let limits = &self.rules.limits;
        let (bytes, is_empty) = match demand {
            Demand::Exempt => return Verdict::Passed,
            Demand::Bytes(bytes) => (bytes.max(limits.minimum), false),
            Demand::Unknown if limits.require_length => return self.refuse(Refusal::new(Reason::LengthRequired)),
            Demand::Unknown => (limits.minimum, false),
            Demand::Creates => (limits.minimum, true),
        };
        match self
            .check_ceilings(bytes, priority)
            .and_then(|()| Pool::own(&self.pools).hold(bytes, is_empty, priority))
        {
            Ok(hold) => Verdict::Admitted(hold),
            Err(refusal) => self.refuse(refusal),
        }
    }

    #[inline]
    fn check_ceilings(&self, bytes: u64, priority: Priority) -> Result<(), Refusal> {
        let rules = &*self.rules;
        if bytes > rules.limits.maximum {
            return Err(rules.refusal(Reason::TooLarge, None, Some(bytes)));
        }
        // With a single scope the reservation finds it out first by itself.
        if rules.scopes.len() > 1 {
            for (place, scope) in rules.scopes.iter().enumerate() {
                if let Err(reason) = scope.amount(bytes, priority) {
                    return Err(rules.refusal(reason, Some(place), Some(bytes)));
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, refusal: Refusal) -> Verdict {
        self.rules.tell_refused(&refusal);
        if self.rules.limits.report_only {
            Verdict::Passed
        } else {
            Verdict::Refused(refusal)
        }
    }
}

impl Rules {
    pub(super) fn tell_refused(&self, refusal: &Refusal) {
        let enforced = !self.limits.report_only;
        notify(&self.observers, &Event::Refused { refusal, enforced });
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("scopes", &self.scopes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
