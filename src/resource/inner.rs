use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use super::{Fallback, ResourceReport, ResourceSettings, gate};
use crate::{
    background::Periodic,
    capacity::{Account, Event, Observer, Reading, Reason, State, StateMachine, notify},
    clock::Clock,
    probe::{ProbeError, Signal},
};

/// What a resource was built with and never changes.
pub(crate) struct Fixed {
    pub(crate) first_measurement_within: Duration,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

/// What requests, the sampler and the watchdog share.
pub(crate) struct ResourceInner {
    pub(crate) name: Arc<str>,
    pub(crate) bytes: Account,
    pub(crate) inodes: Account,
    pub(crate) block_size: u32,
    /// [`Gate values`](super::gate); requests look at nothing else when it is open.
    gate: AtomicU8,
    ceiling: AtomicU64,
    /// The part of the floor that essential requests may use.
    allowance: AtomicU64,
    unseen: AtomicU64,
    /// The storage said that it is full, and no reading has begun since.
    exhausted: AtomicBool,
    pub(super) health: Mutex<Health>,
    probe_failures: AtomicU64,
    pub(super) fixed: Fixed,
    pub(super) signal: Arc<Signal>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is known beside the account. Only the sampler, the watchdog and reports lock it.
pub(super) struct Health {
    reading: Reading,
    /// When the last good reading was taken.
    read_at: Duration,
    /// Since when nothing is known, if so.
    unknown_since: Option<Duration>,
    error: Option<String>,
    states: StateMachine,
    pub(super) forced: Option<State>,
    limit: i64,
    settings: ResourceSettings,
    /// By how much changed floors have moved the limits of bytes and inodes since the last reading.
    moved: (i64, i64),
}

impl Health {
    pub(super) fn state(&self) -> State {
        self.forced.unwrap_or(self.states.state())
    }
}

/// With more free inodes than this they are not counted: no burst between two samples uses up so many.
const PLENTY_OF_INODES: u64 = 1 << 20;
/// Bytes closed since the last sample that ask for another at once.
const CLOSED_BOUND: u64 = 64 << 20;

impl ResourceInner {
    /// With an account that is still empty; [`ResourceSink::open`](super::sink::ResourceSink::open) fills it.
    pub(crate) fn new(
        name: Arc<str>,
        settings: ResourceSettings,
        fixed: Fixed,
        signal: Arc<Signal>,
        clock: Arc<dyn Clock>,
        first: &Reading,
    ) -> Self {
        Self {
            name,
            bytes: Account::new(0),
            inodes: Account::new(0),
            block_size: first.block_size,
            gate: AtomicU8::new(gate::OPEN),
            ceiling: AtomicU64::new(0),
            allowance: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
            health: Mutex::new(Health {
                reading: *first,
                read_at: clock.now().saturating_sub(first.age),
                unknown_since: None,
                error: None,
                states: StateMachine::default(),
                forced: None,
                limit: 0,
                settings,
                moved: (0, 0),
            }),
            probe_failures: AtomicU64::new(0),
            fixed,
            signal,
            clock,
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

    pub(crate) fn kick(&self) {
        self.signal.kick();
    }

    /// Closes held bytes, and asks for a sample when many wait for one.
    pub(crate) fn close(&self, amount: u64) {
        let closed = self.bytes.close(amount);
        if closed >= CLOSED_BOUND && closed - amount < CLOSED_BOUND {
            self.kick();
        }
    }

    /// The storage itself said that it is full: admits nothing until a reading that begins after this.
    pub(crate) fn exhaust(&self) {
        let health = lock(&self.health);
        self.exhausted.store(true, Relaxed);
        self.set_gate(&health, self.clock.now());
        drop(health);
        self.kick();
    }

    #[inline]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Relaxed)
    }

    /// A measurement begins: what the storage said before is outdated by its reading. Tells whether it said so.
    pub(super) fn forget_exhaustion(&self) -> bool {
        self.exhausted.swap(false, Relaxed)
    }

    /// The measurement failed, so it outdates nothing.
    pub(super) fn recall_exhaustion(&self) {
        self.exhausted.store(true, Relaxed);
    }

    /// What finished requests hold beside what has closed since a measurement began.
    pub(super) fn tell_unseen(&self, bytes: u64) {
        self.unseen.store(bytes, Relaxed);
    }

    pub(crate) fn settings(&self) -> ResourceSettings {
        lock(&self.health).settings
    }

    pub(super) fn interval(&self) -> Duration {
        lock(&self.health).settings.interval
    }

    /// Puts checked settings into force: the account, the state and the gate follow at once, by the last reading.
    pub(crate) fn reconfigure(&self, settings: ResourceSettings) {
        let mut health = lock(&self.health);
        let before = limits(&health.settings, &health.reading);
        let after = limits(&settings, &health.reading);
        let (bytes, inodes) = (after.0 - before.0, after.1 - before.1);
        self.bytes.adjust(bytes);
        self.inodes.adjust(inodes);
        health.moved = (health.moved.0 + bytes, health.moved.1 + inodes);
        health.limit = after.0;
        health.settings = settings;
        let now = self.clock.now();
        let is_fresh = now.saturating_sub(health.read_at) <= settings.max_age;
        if health.error.is_none() && is_fresh {
            health.unknown_since = None;
        }
        let Reading { available, total, .. } = health.reading;
        let floor = settings.floor.of(total);
        let left = health.states.reassess(available, total, floor, &settings.bands);
        let to = health.states.state();
        self.set_bounds(&health);
        self.set_gate(&health, now);
        drop(health);
        self.tell_state(left, to, available, floor);
        // Sooner than the old interval.
        self.kick();
    }

    /// Puts a good reading on record and tells what changed. `reconcile` brings the accounts to the limits of bytes and
    /// inodes that it is given, told by how much others have moved them since the last reading, and returns what is
    /// unseen. Returns the former `available`.
    pub(super) fn take_in(
        &self,
        reading: &Reading,
        taken_at: Duration,
        reconcile: impl FnOnce((i64, i64), (i64, i64)) -> u64,
    ) -> u64 {
        let mut health = lock(&self.health);
        let settings = health.settings;
        let limits = limits(&settings, reading);
        let unseen = reconcile(limits, std::mem::take(&mut health.moved));
        self.tell_unseen(unseen);
        let before = std::mem::replace(&mut health.reading, *reading);
        health.read_at = taken_at;
        health.limit = limits.0;
        health.error = None;
        self.set_bounds(&health);
        let now = self.clock.now();
        // A reading may be good and yet too old, when it was published long ago.
        let is_fresh = now.saturating_sub(taken_at) <= settings.max_age;
        let recovered = is_fresh && health.unknown_since.take().is_some();
        let floor = settings.floor.of(reading.total);
        let left = health
            .states
            .observe(reading.available, reading.total, floor, &settings.bands);
        let to = health.states.state();
        self.set_gate(&health, now);
        drop(health);

        if recovered {
            self.tell(&Event::ProbeRecovered { resource: &self.name });
        }
        self.tell_state(left, to, reading.available, floor);
        before.available
    }

    fn tell_state(&self, left: Option<State>, to: State, available: u64, floor: u64) {
        if let Some(from) = left {
            self.tell(&Event::StateChanged {
                resource: &self.name,
                from,
                to,
                available,
                floor,
            });
        }
    }

    /// What could ever be stored, and what essential requests may take of the floor.
    fn set_bounds(&self, health: &Health) {
        let total = health.reading.total;
        let floor = health.settings.floor.of(total);
        let ceiling = if total == u64::MAX {
            u64::MAX
        } else {
            total.saturating_sub(floor)
        };
        self.ceiling.store(ceiling, Relaxed);
        self.allowance
            .store(health.settings.essential.of(total).min(floor), Relaxed);
    }

    pub(super) fn take_in_failure(&self, error: &ProbeError) {
        self.probe_failures.fetch_add(1, Relaxed);
        let mut health = lock(&self.health);
        let now = self.clock.now();
        let is_first = health.error.is_none();
        health.unknown_since.get_or_insert(now);
        health.error = Some(match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        self.set_gate(&health, now);
        drop(health);
        if is_first {
            self.tell(&Event::ProbeFailed {
                resource: &self.name,
                error,
            });
        }
    }

    pub(super) fn set_gate(&self, health: &Health, now: Duration) {
        let fallback = health
            .unknown_since
            .and_then(|since| health.settings.policy.after(now.saturating_sub(since)));
        let inodes = health.reading.inodes.map(|inodes| inodes.available);
        let value = match fallback {
            Some(Fallback::Open) => gate::UNKNOWN_OPEN,
            Some(Fallback::Closed) => gate::UNKNOWN_CLOSED,
            None if !health.reading.writable => gate::READ_ONLY,
            None if health.state() == State::Full || self.is_exhausted() => gate::FULL,
            None => match inodes {
                Some(available) if available <= health.settings.inode_floor => gate::NO_INODES,
                Some(available) if available < PLENTY_OF_INODES => gate::COUNT_INODES,
                _ => gate::OPEN,
            },
        };
        self.gate.store(value, Release);
    }

    pub(super) fn report(&self) -> ResourceReport {
        let health = lock(&self.health);
        let headroom = self.bytes.headroom();
        let unseen = self.unseen.load(Relaxed).saturating_add(self.bytes.closed());
        let gate = self.gate.load(Acquire);
        let taken = health.limit.saturating_sub(headroom).max(0).unsigned_abs();
        ResourceReport {
            state: health.state(),
            total: health.reading.total,
            available: health.reading.available,
            floor: health.settings.floor.of(health.reading.total),
            headroom: if self.is_exhausted() { headroom.min(0) } else { headroom },
            held: taken.saturating_sub(unseen),
            unseen,
            inodes_available: health.reading.inodes.map(|inodes| inodes.available),
            writable: health.reading.writable,
            age: self.clock.now().saturating_sub(health.read_at),
            error: health.error.clone(),
            measured: !matches!(gate, gate::UNKNOWN_OPEN | gate::UNKNOWN_CLOSED),
            closed: Self::closed_because(gate).is_some(),
            probe_failures: self.probe_failures.load(Relaxed),
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        notify(&self.fixed.observers, event);
    }

    /// Why the resource refuses now, if the account does not.
    pub(crate) fn closed_because(gate: u8) -> Option<Reason> {
        match gate {
            gate::FULL => Some(Reason::Space),
            gate::READ_ONLY => Some(Reason::ReadOnly),
            gate::NO_INODES => Some(Reason::Inodes),
            gate::UNKNOWN_CLOSED => Some(Reason::Unmeasured),
            _ => None,
        }
    }
}

/// Finds out whether the last reading is too old; the sampler may hang.
impl Periodic for ResourceInner {
    fn tick(&self) {
        let mut health = lock(&self.health);
        let now = self.clock.now();
        let age = now.saturating_sub(health.read_at);
        let became_silent = age > health.settings.max_age && health.unknown_since.is_none();
        if became_silent {
            health.unknown_since = Some(now);
        }
        if health.unknown_since.is_some() {
            self.set_gate(&health, now);
        }
        drop(health);
        if became_silent {
            self.tell(&Event::ProbeSilent {
                resource: &self.name,
                age,
            });
        }
    }
}

/// What may be held of bytes and of inodes, by a reading.
pub(super) fn limits(settings: &ResourceSettings, reading: &Reading) -> (i64, i64) {
    let inodes = reading.inodes.map_or(0, |inodes| inodes.available);
    (
        difference(reading.available, settings.floor.of(reading.total)),
        difference(inodes, settings.inode_floor),
    )
}

fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    // Half the range is kept free for holds.
    difference.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is plain data that is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_cut_where_holds_need_room() {
        assert_eq!((difference(5, 7), difference(7, 5)), (-2, 2));
        assert_eq!(difference(u64::MAX, 0), i64::MAX / 4);
        assert_eq!(difference(0, u64::MAX), i64::MIN / 4);
    }
}
