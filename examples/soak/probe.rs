//! A disk that takes its time to answer, and stops answering when it is told to, as a network mount does.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use tower_storage_guard::{CapacityProbe, ProbeError, Reading};

pub(crate) struct Hanging<P> {
    probe: P,
    switch: Switch,
}

#[derive(Clone, Default)]
pub(crate) struct Switch {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

/// How long a reading takes to come back.
const ON_ITS_WAY: Duration = Duration::from_millis(40);

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
        let reading = self.probe.measure();
        // What is written meanwhile is not in it.
        sleep(ON_ITS_WAY);
        reading
    }
}
