use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{Refusal, State};

/// Something that an operator may want to know.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A resource became more or less full. Told once a transition.
    #[non_exhaustive]
    StateChanged {
        /// The resource's name.
        resource: &'a str,
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// What is free, in bytes (or the probe's unit).
        available: u64,
        /// What must stay free.
        floor: u64,
    },
    /// A measurement failed. Told at the first failure in a row.
    #[non_exhaustive]
    ProbeFailed {
        /// The resource's name.
        resource: &'a str,
        /// Why: a [`ProbeError`](crate::ProbeError).
        error: &'a (dyn Error + Send + Sync + 'static),
    },
    /// No reading came for longer than the age limit.
    #[non_exhaustive]
    ProbeSilent {
        /// The resource's name.
        resource: &'a str,
        /// How old the last reading is.
        age: Duration,
    },
    /// Readings come again.
    #[non_exhaustive]
    ProbeRecovered {
        /// The resource's name.
        resource: &'a str,
    },
    /// The engine of a ledger does not answer, and somebody waited for it in vain. Told once.
    #[non_exhaustive]
    LedgerUnreachable {
        /// The ledger's name.
        ledger: &'a str,
        /// What it said last.
        error: &'a str,
    },
    /// The engine of a ledger answers again.
    #[non_exhaustive]
    LedgerRecovered {
        /// The ledger's name.
        ledger: &'a str,
    },
    /// The engine has no record any more of a tenant whom this node knows: it has lost data.
    #[non_exhaustive]
    RecordLost {
        /// The ledger's name.
        ledger: &'a str,
        /// The tenant.
        tenant: &'a str,
    },
    /// A tenant's record cannot be used, or there is none and the tenant could not be measured. It is refused until that
    /// works, as far as nothing is leased.
    #[non_exhaustive]
    UsageUnknown {
        /// The ledger's name.
        ledger: &'a str,
        /// The tenant.
        tenant: &'a str,
        /// Why.
        error: &'a (dyn Error + Send + Sync + 'static),
    },
    /// Another process goes by the name of this node. This one leases nothing more, and refuses with 503 what it has no
    /// lease for.
    #[non_exhaustive]
    NodeSuperseded {
        /// The ledger's name.
        ledger: &'a str,
        /// The node's name.
        node: &'a str,
    },
    /// The [file of a ledger's limits](crate::LedgerBuilder::limits_file) says others, or is right again. They are in force.
    #[non_exhaustive]
    LimitsReloaded {
        /// The ledger's name.
        ledger: &'a str,
        /// How many tenants the file names.
        tenants: usize,
    },
    /// The file of a ledger's limits cannot be read or has a mistake in it. The limits stay as they are. Told once for each
    /// error.
    #[non_exhaustive]
    LimitsRejected {
        /// The ledger's name.
        ledger: &'a str,
        /// Which file, where in it, and what helps.
        error: &'a (dyn Error + Send + Sync + 'static),
    },
    /// A request was refused, or in report-only mode would have been.
    #[non_exhaustive]
    Refused {
        /// Why.
        refusal: &'a Refusal,
        /// `false` in report-only mode.
        enforced: bool,
    },
}

/// Receives events: a resource's on its sampler's thread, the watchdog's, or the one that changes its settings; refusals on
/// the request's own. Should be quick. No lock is held, so an observer may change settings. It must not call
/// [`sample_now`](crate::Resource::sample_now), which can wait for the thread that the observer runs on.
///
/// ```
/// use tower_storage_guard::{Event, Observer};
///
/// let observer = |event: &Event<'_>| {
///     if let Event::StateChanged { resource, to, .. } = event {
///         println!("{resource} is {}", to.name());
///     }
/// };
/// # fn accepts(_: impl Observer) {}
/// # accepts(observer);
/// ```
pub trait Observer: Send + Sync {
    /// Takes the event in. A panic here is swallowed: it must not stop the sampling.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

pub(crate) fn notify(observers: &[Arc<dyn Observer>], event: &Event<'_>) {
    for observer in observers {
        let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    }
}
