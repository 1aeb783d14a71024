use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Denied, DeniedKind, Grant, Ledger, Reserving};

impl Ledger {
    /// Begins to set right what a tenant is taken to have stored. Waits for the store where it must be asked.
    ///
    /// ```
    /// # use tower_storage_guard::{Ledger, Limit};
    /// # fn bytes_on_disk(tenant: &str) -> u64 { 70 }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let quotas = Ledger::builder().default_limit(Limit::bytes(1000)).build()?;
    /// let scan = quotas.scan("alice").wait()?;
    /// // Takes a while; uploads go on.
    /// let measured = bytes_on_disk("alice");
    /// scan.reconcile(measured);
    /// # assert_eq!(quotas.usage("alice").used, 70);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan(&self, tenant: &str) -> Scanning {
        // A byte, so that a tenant without a lease gets one.
        let bytes = u64::from(self.core().is_leased());
        let presence = self.core().acquire(tenant);
        Scanning {
            ledger: self.clone(),
            tenant: tenant.into(),
            presence: presence.map(|entry| Grant::new(self.clone(), entry, 0)),
            asking: self.reserve(tenant, bytes),
        }
    }
}

/// A [`Scan`] to come. Waits at most as long as a [reservation](Reserving) does; dropping it changes nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Scanning {
    ledger: Ledger,
    tenant: Box<str>,
    asking: Reserving,
    presence: Option<Grant>,
}

impl Scanning {
    /// Blocks the thread instead of waiting as a future.
    ///
    /// # Errors
    ///
    /// When it is not known what the tenant has stored.
    pub fn wait(self) -> Result<Scan, Denied> {
        let outcome = self.asking.wait().map(drop);
        begin(self.ledger, self.tenant, self.presence, outcome)
    }
}

impl Future for Scanning {
    type Output = Result<Scan, Denied>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.asking).poll(context)).map(drop);
        let presence = self.presence.take();
        Poll::Ready(begin(self.ledger.clone(), self.tenant.clone(), presence, outcome))
    }
}

fn begin(
    ledger: Ledger,
    tenant: Box<str>,
    presence: Option<Grant>,
    outcome: Result<(), Denied>,
) -> Result<Scan, Denied> {
    // That the tenant has nothing left is an answer, too.
    match outcome {
        Err(denied) if matches!(denied.kind(), DeniedKind::Unknown | DeniedKind::WouldWait) => Err(denied),
        _ => {
            let (here, everywhere) = ledger.shares(&tenant).ok_or(Denied::new(DeniedKind::Unknown))?;
            Ok(Scan {
                ledger,
                tenant,
                here,
                everywhere,
                _presence: presence,
            })
        }
    }
}

/// What a tenant was taken to have stored when somebody began to measure it.
///
/// Measuring takes a while, and uploads go on meanwhile. So what was measured does not replace the number on record; the
/// difference to what was on record when the scan began is added. What is stored or deleted after that and shows in what
/// was measured would count twice: measure a snapshot, or let such changes wait.
#[must_use = "nothing is set right without `reconcile`"]
pub struct Scan {
    ledger: Ledger,
    tenant: Box<str>,
    here: i64,
    everywhere: i128,
    /// Keeps the account from being forgotten meanwhile.
    _presence: Option<Grant>,
}

impl Scan {
    /// What was on record, through all nodes, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        u64::try_from(self.everywhere.max(0)).unwrap_or(u64::MAX)
    }

    /// What was on record as stored through this node, less what was deleted through it, in bytes.
    #[must_use]
    pub const fn used_here(&self) -> i64 {
        self.here
    }

    /// Sets the record right by what was measured, in bytes, on storage that all nodes share.
    pub fn reconcile(self, measured: u64) {
        self.correct(i128::from(measured) - self.everywhere);
    }

    /// Sets the record right by what was measured, in bytes, on storage that is this node's alone. Not together with
    /// [`MissingRecord::Measure`](crate::MissingRecord::Measure), which counts what is stored to no node in particular.
    pub fn reconcile_here(self, measured: u64) {
        self.correct(i128::from(measured) - i128::from(self.here));
    }

    fn correct(&self, difference: i128) {
        let bytes = u64::try_from(difference.unsigned_abs()).unwrap_or(u64::MAX);
        if difference > 0 {
            self.ledger.charge(&self.tenant, bytes);
        } else if difference < 0 {
            self.ledger.credit(&self.tenant, bytes);
        }
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("tenant", &self.tenant)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Scanning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanning")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}
