use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

use super::gate;
use crate::{
    capacity::{Account, Reason},
    probe::Signal,
};

/// The part of a resource that requests reach.
///
/// It owns no probe, observer or clock: a thread may keep it after the resource is gone, and the resource's sampler
/// still ends. The signal only wakes the sampler's thread.
#[derive(Debug)]
pub(crate) struct ResourceAccount {
    pub(crate) bytes: Account,
    pub(crate) inodes: Account,
    pub(crate) block_size: u32,
    /// [`Gate values`](super::gate); requests look at nothing else when it is open.
    gate: AtomicU8,
    ceiling: AtomicU64,
    /// The part of the floor that essential requests may use.
    allowance: AtomicU64,
    /// The storage said that it is full, and no reading taken later has arrived.
    exhausted: AtomicBool,
    signal: Arc<Signal>,
}

/// Bytes closed since the last sample that ask for another at once.
const CLOSED_BOUND: u64 = 64 << 20;

impl ResourceAccount {
    pub(super) fn new(block_size: u32, signal: Arc<Signal>) -> Self {
        Self {
            bytes: Account::new(0),
            inodes: Account::new(0),
            block_size,
            gate: AtomicU8::new(gate::OPEN),
            ceiling: AtomicU64::new(0),
            allowance: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
            signal,
        }
    }

    /// The largest demand that could ever be met.
    #[inline]
    pub(crate) fn ceiling(&self) -> u64 {
        self.ceiling.load(Relaxed)
    }

    /// How far below zero essential requests may bring the headroom.
    #[inline]
    pub(crate) fn allowance(&self) -> u64 {
        self.allowance.load(Relaxed)
    }

    #[inline]
    pub(crate) fn gate(&self) -> u8 {
        self.gate.load(Relaxed)
    }

    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Relaxed)
    }

    /// Closes reserved bytes, and asks for a sample when many wait for one.
    #[inline]
    pub(crate) fn close(&self, amount: u64) {
        let closed = self.bytes.close(amount);
        if closed >= CLOSED_BOUND && closed - amount < CLOSED_BOUND {
            self.refresh();
        }
    }

    /// Asks for a measurement soon.
    pub(crate) fn refresh(&self) {
        self.signal.refresh();
    }

    /// Why the resource refuses at this gate, if the account does not decide.
    pub(crate) fn closed_because(gate: u8) -> Option<Reason> {
        match gate {
            gate::FULL => Some(Reason::Space),
            gate::READ_ONLY => Some(Reason::ReadOnly),
            gate::NO_INODES => Some(Reason::Inodes),
            gate::UNKNOWN_CLOSED => Some(Reason::Unmeasured),
            _ => None,
        }
    }

    pub(super) fn set_gate(&self, gate: u8) {
        self.gate.store(gate, Relaxed);
    }

    pub(super) fn set_bounds(&self, ceiling: u64, allowance: u64) {
        self.ceiling.store(ceiling, Relaxed);
        self.allowance.store(allowance, Relaxed);
    }

    pub(super) fn set_exhausted(&self, exhausted: bool) {
        self.exhausted.store(exhausted, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use crate::{
        capacity::{Event, Reading},
        resource::Resource,
    };

    #[test]
    fn a_kept_account_keeps_no_sampler_or_observer() {
        let (sender, ends) = mpsc::channel::<()>();
        let (probe, observer) = (sender.clone(), sender);
        let measure = move || {
            let _ = &probe;
            Ok::<_, std::io::Error>(Reading::new(10, 10))
        };
        let builder = Resource::builder("r", measure).observer(move |_: &Event<'_>| {
            let _ = &observer;
        });
        let resource = builder.build().expect("measures");
        let account = resource.account().clone();
        drop(resource);
        let ended = ends.recv_timeout(Duration::from_secs(10));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
        account.close(1);
        account.refresh();
    }
}
