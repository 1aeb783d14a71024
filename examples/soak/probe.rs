//! A disk that stops answering when it is told to, as a network mount does.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tower_storage_guard::{CapacityProbe, ProbeError, Reading};

pub(crate) struct Hanging<P> {
    probe: P,
    switch: Switch,
}

#[derive(Clone, Default)]
pub(crate) struct Switch {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl<P> Hanging<P> {
    pub(crate) const fn new(probe: P, switch: Switch) -> Self {
        Self { probe, switch }
    }
}

impl Switch {
    pub(crate) fn hang(&self, hangs: bool) {
        let (state, changed) = &*self.shared;
        *state.lock().unwrap_or_else(PoisonError::into_inner) = hangs;
        changed.notify_all();
    }
}

impl<P: CapacityProbe> CapacityProbe for Hanging<P> {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        let (state, changed) = &*self.switch.shared;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            changed
                .wait_while(state, |hangs| *hangs)
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.probe.measure()
    }
}
