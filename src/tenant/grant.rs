use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Denied, DeniedKind, Ledger, entry::EntryRef, inner::Attempt, lease::Waiter};

impl Ledger {
    /// Reserves bytes for a tenant at once.
    ///
    /// # Errors
    ///
    /// When the tenant may not have them, or, of kind [`WouldWait`](crate::DeniedKind::WouldWait), when the store would
    /// have to be asked; it is asked then, so that another try some milliseconds later can succeed.
    pub fn try_reserve(&self, tenant: &str, bytes: u64) -> Result<Grant, Denied> {
        match self.core().attempt(tenant, bytes, false) {
            Attempt::Granted(entry) => Ok(Grant::new(self.clone(), entry, bytes)),
            Attempt::Denied(denied) => Err(denied),
            Attempt::Waits(..) => Err(Denied::new(DeniedKind::WouldWait)),
        }
    }

    /// Reserves bytes for a tenant, and waits for the store where it must be asked.
    pub fn reserve(&self, tenant: &str, bytes: u64) -> Reserving {
        match self.core().attempt(tenant, bytes, true) {
            Attempt::Granted(entry) => Reserving::ready(Ok(Grant::new(self.clone(), entry, bytes))),
            Attempt::Denied(denied) => Reserving::ready(Err(denied)),
            Attempt::Waits(entry, waiter) => Reserving::waits(Grant::new(self.clone(), entry, 0), waiter),
        }
    }
}

/// Bytes that a tenant has reserved. Dropping it gives them back; [`commit`](Self::commit) says that they are stored.
#[must_use = "dropping it gives the bytes back"]
pub struct Grant {
    ledger: Ledger,
    /// `None` once it is settled.
    entry: Option<EntryRef>,
    reserved: u64,
}

impl Grant {
    pub(super) fn new(ledger: Ledger, entry: EntryRef, reserved: u64) -> Self {
        Self {
            ledger,
            entry: Some(entry),
            reserved,
        }
    }

    /// The bytes that are reserved.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Reserves so many bytes more, for what turns out to be larger. Does not wait.
    ///
    /// # Errors
    ///
    /// When the tenant may not have them, or the store would have to be asked; what was reserved before stays.
    pub fn extend(&mut self, bytes: u64) -> Result<(), Denied> {
        let entry = self.entry.as_ref().ok_or(Denied::new(DeniedKind::Unknown))?;
        self.ledger.core().charge_more(entry, bytes, false)?;
        self.reserved = self.reserved.saturating_add(bytes);
        Ok(())
    }

    /// Says what was stored in the end, in bytes: it is charged also where it is more than was reserved, and even beyond
    /// the limit. The rest is given back.
    pub fn commit(mut self, stored: u64) {
        self.settle(i64::try_from(stored).unwrap_or(i64::MAX));
    }

    fn settle(&mut self, stored: i64) {
        if let Some(entry) = self.entry.take() {
            self.ledger.core().settle(entry, self.reserved, stored);
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.settle(0);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("ledger", &self.ledger.name())
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// A reservation to come. Waits for the store at most as long as [`wait_at_most`](crate::Leasing::wait_at_most) says, and
/// not at all where no store is asked. Dropping it takes the request back; nothing stays reserved.
#[must_use = "futures do nothing unless polled"]
pub struct Reserving {
    state: State,
}

enum State {
    Ready(Option<Result<Grant, Denied>>),
    Waits { grant: Option<Grant>, waiter: Arc<Waiter> },
}

impl Reserving {
    fn ready(outcome: Result<Grant, Denied>) -> Self {
        Self {
            state: State::Ready(Some(outcome)),
        }
    }

    /// The grant has nothing reserved until the waiter says so.
    fn waits(grant: Grant, waiter: Arc<Waiter>) -> Self {
        Self {
            state: State::Waits {
                grant: Some(grant),
                waiter,
            },
        }
    }

    /// Blocks the thread instead of waiting as a future. (With a ledger that was built manually, steps it for as long as
    /// that leads on.)
    ///
    /// # Errors
    ///
    /// When the tenant may not have the bytes, or it is not known whether it may.
    pub fn wait(mut self) -> Result<Grant, Denied> {
        match &mut self.state {
            State::Ready(outcome) => fetched(outcome.take()),
            State::Waits { grant, waiter } => {
                #[cfg(any(test, feature = "test-util"))]
                if let Some(grant) = grant.as_ref().filter(|grant| grant.ledger.is_manual()) {
                    // Nobody else would.
                    while waiter.is_waiting() && grant.ledger.step() {}
                    if waiter.is_waiting() {
                        return Err(Denied::new(DeniedKind::WouldWait));
                    }
                }
                finish(grant, waiter.wait(), waiter.bytes)
            }
        }
    }
}

impl Future for Reserving {
    type Output = Result<Grant, Denied>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Ready(outcome) => Poll::Ready(fetched(outcome.take())),
            State::Waits { grant, waiter } => waiter.poll(context).map(|outcome| finish(grant, outcome, waiter.bytes)),
        }
    }
}

fn fetched(outcome: Option<Result<Grant, Denied>>) -> Result<Grant, Denied> {
    outcome.unwrap_or(Err(Denied::new(DeniedKind::Unknown)))
}

fn finish(grant: &mut Option<Grant>, outcome: Result<(), Denied>, bytes: u64) -> Result<Grant, Denied> {
    outcome?;
    let mut grant = grant.take().ok_or(Denied::new(DeniedKind::Unknown))?;
    grant.reserved = bytes;
    Ok(grant)
}

impl Drop for Reserving {
    fn drop(&mut self) {
        if let State::Waits { grant, waiter } = &mut self.state {
            if waiter.abandon() {
                // Granted, and nobody came for it: it goes back with the grant.
                if let Some(grant) = grant {
                    grant.reserved = waiter.bytes;
                }
            }
        }
    }
}

impl fmt::Debug for Reserving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.state, State::Waits { .. });
        f.debug_struct("Reserving")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}
