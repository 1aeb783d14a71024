use std::{
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use crate::{
    sync::{Condvar, Mutex, MutexGuard},
    tenant::Denied,
};

/// Somebody who waits for bytes of a lease. Resolved once, by the keeper's threads; whoever waits may go away at any time.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Resolved(Result<(), Denied>),
    /// Nobody waits any longer, or the outcome was fetched.
    Over,
}

impl Waiter {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            state: Mutex::new(State::Waiting(None)),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(*self.lock(), State::Waiting(_))
    }

    /// Tells the outcome. `false` when nobody waits for it, so that bytes which were granted are still to be given back.
    pub(super) fn resolve(&self, outcome: Result<(), Denied>) -> bool {
        let mut state = self.lock();
        let State::Waiting(waker) = &mut *state else {
            return false;
        };
        let waker = waker.take();
        *state = State::Resolved(outcome);
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Denied>> {
        let mut state = self.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            _ => Poll::Ready(take(&mut state)),
        }
    }

    /// Blocks until the outcome is there.
    pub(crate) fn wait(&self) -> Result<(), Denied> {
        let mut state = self.lock();
        while matches!(*state, State::Waiting(_)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut state)
    }

    /// Whoever waited is gone. `true` when bytes had been granted that nobody fetched.
    pub(crate) fn abandon(&self) -> bool {
        matches!(
            std::mem::replace(&mut *self.lock(), State::Over),
            State::Resolved(Ok(()))
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(state: &mut State) -> Result<(), Denied> {
    match std::mem::replace(state, State::Over) {
        State::Resolved(outcome) => outcome,
        // Fetched before; a future that is polled again after it was ready gets nothing twice.
        State::Waiting(_) | State::Over => Err(Denied::new(crate::tenant::DeniedKind::Unknown)),
    }
}

#[cfg(test)]
impl Waiter {
    /// The outcome, where it must be there.
    pub(super) fn outcome(&self) -> Result<(), Denied> {
        match self.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("still waits"),
        }
    }
}
