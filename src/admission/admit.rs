use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    Hold, Limits, LiveLimits, LiveSettings, Scope,
    counters::{Counters, RefusalCounts},
    hold::{Pools, Wish},
    tenants::{Step, TenantHolds, TenantNames, Waiting},
};
use crate::{
    capacity::{Demand, Event, Observer, Priority, Reason, Refusal, notify},
    resource::Resource,
    tenant::Ledger,
};

/// Decides about demands, with the scopes and limits of one layer. Holds bring with them what the layer itself needs for
/// requests under way, `C`.
#[derive(Debug)]
pub(crate) struct Admission<C> {
    rules: Arc<Rules>,
    pools: Pools<C>,
}

/// What is decided.
#[derive(Debug)]
pub(crate) enum Verdict<C> {
    /// Go on; this much is held.
    Admitted(Hold<C>),
    /// Go on; nothing is held: the demand is exempt, or would have been refused and is only reported.
    Passed,
    Refused(Refusal),
    /// A ledger must ask its store; the rest is decided by [`Admission::poll`].
    Waits(Box<Waits>),
}

/// A decision under way.
#[derive(Debug)]
pub(crate) struct Waits {
    waiting: Waiting,
    wish: Wish,
}

/// What a decision is made by.
pub(super) struct Rules {
    pub(super) scopes: Box<[Scope]>,
    pub(super) tenants: Box<[Ledger]>,
    pub(super) limits: Arc<LiveLimits>,
    pub(super) counters: Counters,
    observers: Box<[Arc<dyn Observer>]>,
}

impl<C> Admission<C> {
    pub(crate) fn new(
        scopes: Vec<Scope>,
        tenants: Vec<Ledger>,
        limits: Arc<LiveLimits>,
        observers: Vec<Arc<dyn Observer>>,
        context: &Arc<C>,
    ) -> Self {
        let rules = Arc::new(Rules {
            scopes: scopes.into(),
            tenants: tenants.into(),
            limits,
            counters: Counters::default(),
            observers: observers.into(),
        });
        Self {
            pools: Pools::new(&rules, context),
            rules,
        }
    }

    /// The usual case by itself, without a word where it fails: then [`admit`](Self::admit) decides.
    #[inline(never)]
    pub(crate) fn try_admit(&self, demand: Demand) -> Option<Hold<C>> {
        let wish = self.wish(demand, Priority::Usual).ok()??;
        if wish.bytes > wish.maximum {
            return None;
        }
        self.pools.own().try_hold(&wish)
    }

    /// Reserves what the demand needs of all scopes, or of none. What could never fit is found before what does not fit
    /// now, so that a client is not told to wait for nothing.
    pub(crate) fn admit(&self, demand: Demand, priority: Priority) -> Verdict<C> {
        let wish = match self.wish(demand, priority) {
            Ok(Some(wish)) => wish,
            Ok(None) => return Verdict::Passed,
            Err(refusal) => return self.refuse(refusal),
        };
        if let Err(refusal) = self.check_ceilings(&wish) {
            return self.refuse(refusal);
        }
        match self.pools.own().hold(&wish) {
            Ok(hold) => Verdict::Admitted(hold),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// The same, on the accounts of tenants as well: first theirs, then the resources', all or none.
    pub(crate) fn admit_for(&self, demand: Demand, priority: Priority, names: &TenantNames<'_>) -> Verdict<C> {
        let mut holds = TenantHolds::default();
        let wish = self.wish(demand, priority).or_else(|refusal| {
            let verdict = self.refuse(refusal);
            holds.is_reported = matches!(verdict, Verdict::Passed);
            // Only reported: what is stored counts all the same.
            let wish = || Self::wish_of(demand, priority, &self.rules.limits.load());
            if holds.is_reported { Ok(wish()) } else { Err(verdict) }
        });
        let wish = match wish {
            Ok(Some(wish)) => wish,
            Ok(None) => {
                holds.enter(&self.rules, names);
                return self.hold_tenants(&Wish::default(), holds);
            }
            Err(verdict) => return verdict,
        };
        if holds.is_reported {
            // Told once is enough.
        } else if let Err(refusal) = self.check_ceilings(&wish) {
            let verdict = self.refuse(refusal);
            if !matches!(verdict, Verdict::Passed) {
                return verdict;
            }
            holds.is_reported = true;
        }
        match holds.reserve(&self.rules, names, 0, wish.bytes) {
            Step::Done => self.hold_all(&wish, holds),
            Step::Refused(refusal) => self.refuse(refusal),
            Step::Waits(at, place, waiter) => {
                let own = |name: &Option<Cow<'_, str>>| name.as_ref().map(|name| Cow::Owned(name.clone().into_owned()));
                let names = std::array::from_fn(|at| names.get(at).and_then(own));
                let waiting = Waiting {
                    rules: self.rules.clone(),
                    names,
                    bytes: wish.bytes,
                    holds,
                    waits: Some((at, place, waiter)),
                };
                Verdict::Waits(Box::new(Waits { waiting, wish }))
            }
        }
    }

    /// Goes on with a decision that had to wait. Never `Waits`.
    pub(crate) fn poll(&self, waits: &mut Waits, context: &Context<'_>) -> Poll<Verdict<C>> {
        Poll::Ready(match ready!(waits.waiting.poll(context)) {
            Ok(holds) => self.hold_all(&waits.wish, holds),
            Err(refusal) => match self.refuse(refusal) {
                // Refusals are only reported by now: what is stored counts all the same.
                Verdict::Passed => {
                    let mut holds = TenantHolds::default();
                    holds.force(&self.rules, &waits.waiting.names, waits.wish.bytes);
                    self.hold_tenants(&waits.wish, holds)
                }
                verdict => verdict,
            },
        })
    }

    /// The refusal of a request that does not tell on whose account it is.
    pub(crate) fn refuse_unnamed(&self, reason: Reason) -> Verdict<C> {
        self.refuse(Refusal::new(reason))
    }

    fn hold_all(&self, wish: &Wish, mut holds: TenantHolds) -> Verdict<C> {
        if holds.is_reported {
            return self.hold_tenants(wish, holds);
        }
        match self.pools.own().hold(wish) {
            Ok(mut hold) => {
                hold.charge(&mut holds, wish);
                Verdict::Admitted(hold)
            }
            Err(refusal) => match self.refuse(refusal) {
                // Only reported: what is stored counts all the same.
                Verdict::Passed => self.hold_tenants(wish, holds),
                verdict => {
                    holds.roll_back(&self.rules, wish.bytes);
                    verdict
                }
            },
        }
    }

    /// Goes on with what is held of tenants, and nothing of any resource.
    fn hold_tenants(&self, wish: &Wish, mut holds: TenantHolds) -> Verdict<C> {
        let hold = self.pools.own().hold_tenants(wish, &mut holds);
        hold.map_or(Verdict::Passed, Verdict::Admitted)
    }

    /// What the request needs; nothing if it is exempt.
    #[inline(always)]
    fn wish(&self, demand: Demand, priority: Priority) -> Result<Option<Wish>, Refusal> {
        let limits = self.rules.limits.load();
        if demand == Demand::Unknown && limits.require_length {
            return Err(Refusal::new(Reason::LengthRequired));
        }
        Ok(Self::wish_of(demand, priority, &limits))
    }

    #[inline(always)]
    fn wish_of(demand: Demand, priority: Priority, limits: &Limits) -> Option<Wish> {
        let mut wish = Wish {
            priority,
            maximum: limits.maximum,
            write_buffer: limits.write_buffer,
            ..Wish::default()
        };
        wish.bytes = match demand {
            Demand::Exempt => return None,
            Demand::Bytes(bytes) => bytes,
            Demand::Declared(bytes) => {
                wish.declared = bytes;
                bytes
            }
            Demand::Unknown => {
                wish.grows = true;
                0
            }
            Demand::Creates => {
                wish.is_empty = true;
                0
            }
        }
        .max(limits.minimum);
        Some(wish)
    }

    fn check_ceilings(&self, wish: &Wish) -> Result<(), Refusal> {
        let Wish {
            bytes,
            priority,
            maximum,
            ..
        } = *wish;
        let rules = &*self.rules;
        if bytes > maximum {
            return Err(rules.refusal(Reason::TooLarge, None, Some(bytes)));
        }
        // With a single scope the reservation finds it out first by itself.
        if rules.scopes.len() > 1 || !rules.tenants.is_empty() {
            for (place, scope) in rules.scopes.iter().enumerate() {
                if let Err(reason) = scope.amount(bytes, priority) {
                    return Err(rules.refusal(reason, Some(place), Some(bytes)));
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, refusal: Refusal) -> Verdict<C> {
        if self.rules.tell_refused(&refusal) {
            Verdict::Refused(refusal)
        } else {
            Verdict::Passed
        }
    }
}

impl<C> Admission<C> {
    pub(crate) fn limits(&self) -> &Arc<LiveLimits> {
        &self.rules.limits
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.rules.scopes.iter().map(Scope::resource)
    }

    pub(crate) fn live(&self, is_enabled: bool) -> LiveSettings {
        let has_use = !is_enabled || !self.rules.scopes.is_empty() || !self.rules.tenants.is_empty();
        LiveSettings::new(self.rules.limits.clone(), self.resources().cloned().collect(), has_use)
    }

    /// How many requests were admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.pools.admitted()
    }

    /// What was refused, or in report-only mode would have been.
    pub(crate) fn refused(&self, enforced: bool) -> RefusalCounts {
        self.rules.counters.refused(enforced)
    }

    /// How many admitted requests met a storage that said itself that it is full.
    pub(crate) fn late_failures(&self) -> u64 {
        self.rules.counters.late()
    }
}

impl Rules {
    /// Counts a refusal and tells of it. Returns whether it is enforced.
    pub(super) fn tell_refused(&self, refusal: &Refusal) -> bool {
        let enforced = !self.limits.load().report_only;
        self.tell(refusal, enforced);
        enforced
    }

    pub(super) fn tell(&self, refusal: &Refusal, enforced: bool) {
        self.counters.count(refusal, enforced);
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
