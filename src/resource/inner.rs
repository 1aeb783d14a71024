use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Fallback, ResourceAccount, ResourceReport, ResourceSettings, gate};
use crate::{
    background::Periodic,
    capacity::{Event, Observer, Reading, State, StateMachine, notify},
    clock::Clock,
    probe::{ProbeError, Signal},
    sync::lock,
};

/// What a resource was built with and never changes.
pub(crate) struct Fixed {
    pub(crate) first_measurement_within: Duration,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

/// What requests, the sampler and the watchdog share.
pub(crate) struct ResourceInner {
    pub(crate) name: Arc<str>,
    pub(crate) account: Arc<ResourceAccount>,
    unseen: AtomicU64,
    pub(super) health: Mutex<Health>,
    probe_failures: AtomicU64,
    pub(super) fixed: Fixed,
    pub(super) signal: Arc<Signal>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is known beside the account. The sampler, the watchdog, reports and changes lock it; of requests only one whose
/// storage is full.
pub(super) struct Health {
    reading: Reading,
    /// When the last good reading was taken.
    read_at: Duration,
    /// Since when nothing is known, if so.
    unknown_since: Option<Duration>,
    /// When the storage last said that it is full, unless a later reading has arrived.
    exhausted_at: Option<Duration>,
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

/// A change of state that is yet to be emitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateChange {
    from: State,
    to: State,
    available: u64,
    floor: u64,
}

impl StateChange {
    fn new(left: Option<State>, health: &Health, floor: u64) -> Option<Self> {
        left.map(|from| Self {
            from,
            to: health.states.state(),
            available: health.reading.available,
            floor,
        })
    }
}

/// With more free inodes than this they are not counted: no burst between two samples uses up so many.
const PLENTY_OF_INODES: u64 = 1 << 20;

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
            account: Arc::new(ResourceAccount::new(first.block_size, signal.clone())),
            unseen: AtomicU64::new(0),
            health: Mutex::new(Health {
                reading: *first,
                read_at: clock.now().saturating_sub(first.age),
                unknown_since: None,
                exhausted_at: None,
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

    /// The storage itself said that it is full: admits nothing until a reading that was taken later has arrived.
    pub(crate) fn exhaust(&self) {
        let mut health = lock(&self.health);
        let now = self.clock.now();
        health.exhausted_at = Some(now);
        self.account.set_exhausted(true);
        self.set_gate(&health, now);
        drop(health);
        self.account.refresh();
    }

    /// What finished requests hold beside what has closed since a measurement began.
    pub(super) fn set_unseen(&self, bytes: u64) {
        self.unseen.store(bytes, Relaxed);
    }

    pub(crate) fn settings(&self) -> ResourceSettings {
        lock(&self.health).settings
    }

    pub(super) fn settings_and_state(&self) -> (ResourceSettings, State) {
        let health = lock(&self.health);
        (health.settings, health.state())
    }

    /// Puts checked settings into force: the account, the state and the gate follow at once, by the last reading. The
    /// caller emits the change of state when it has released its locks.
    pub(crate) fn reconfigure(&self, settings: ResourceSettings) -> Option<StateChange> {
        let mut health = lock(&self.health);
        let before = limits(&health.settings, &health.reading);
        let after = limits(&settings, &health.reading);
        let (bytes, inodes) = (after.0 - before.0, after.1 - before.1);
        self.account.bytes.adjust(bytes);
        self.account.inodes.adjust(inodes);
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
        let change = StateChange::new(left, &health, floor);
        self.set_bounds(&health);
        self.set_gate(&health, now);
        drop(health);
        // Sooner than the old interval.
        self.account.refresh();
        change
    }

    /// Records a good reading and emits what changed. `reconcile` brings the accounts to the limits of bytes and inodes in
    /// its first argument; the second is by how much settings have moved them since the last reading. It returns the
    /// bytes that are unseen.
    pub(super) fn apply_reading(
        &self,
        reading: &Reading,
        taken_at: Duration,
        reconcile: impl FnOnce((i64, i64), (i64, i64)) -> u64,
    ) {
        let mut health = lock(&self.health);
        let settings = health.settings;
        let limits = limits(&settings, reading);
        let unseen = reconcile(limits, std::mem::take(&mut health.moved));
        self.set_unseen(unseen);
        health.reading = *reading;
        health.read_at = taken_at;
        health.limit = limits.0;
        health.error = None;
        if health.exhausted_at.is_some_and(|at| at <= taken_at) {
            health.exhausted_at = None;
            self.account.set_exhausted(false);
        }
        self.set_bounds(&health);
        let now = self.clock.now();
        // A reading may be good and yet too old, when it was published long ago.
        let is_fresh = now.saturating_sub(taken_at) <= settings.max_age;
        let recovered = is_fresh && health.unknown_since.take().is_some();
        let floor = settings.floor.of(reading.total);
        let left = health
            .states
            .observe(reading.available, reading.total, floor, &settings.bands);
        let change = StateChange::new(left, &health, floor);
        self.set_gate(&health, now);
        drop(health);

        if recovered {
            self.emit(&Event::ProbeRecovered { resource: &self.name });
        }
        self.emit_change(change);
    }

    pub(crate) fn emit_change(&self, change: Option<StateChange>) {
        if let Some(StateChange {
            from,
            to,
            available,
            floor,
        }) = change
        {
            self.emit(&Event::StateChanged {
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
        self.account
            .set_bounds(ceiling, health.settings.essential.of(total).min(floor));
    }

    pub(super) fn record_failure(&self, error: &ProbeError) {
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
            self.emit(&Event::ProbeFailed {
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
        let is_exhausted = health.exhausted_at.is_some();
        let value = match fallback {
            Some(Fallback::Closed) => gate::UNKNOWN_CLOSED,
            // A storage that said it is full is not unknown.
            Some(Fallback::Open) if !is_exhausted => gate::UNKNOWN_OPEN,
            _ if !health.reading.writable => gate::READ_ONLY,
            _ if is_exhausted || health.state() == State::Full => gate::FULL,
            _ => match inodes {
                Some(available) if available <= health.settings.inode_floor => gate::NO_INODES,
                Some(available) if available < PLENTY_OF_INODES => gate::COUNT_INODES,
                _ => gate::OPEN,
            },
        };
        self.account.set_gate(value);
    }

    pub(super) fn report(&self) -> ResourceReport {
        let health = lock(&self.health);
        let headroom = self.account.bytes.headroom();
        let unseen = self.unseen.load(Relaxed).saturating_add(self.account.bytes.closed());
        let gate = self.account.gate();
        let taken = health.limit.saturating_sub(headroom).max(0).unsigned_abs();
        ResourceReport {
            state: health.state(),
            total: health.reading.total,
            available: health.reading.available,
            floor: health.settings.floor.of(health.reading.total),
            headroom: if self.account.is_exhausted() {
                headroom.min(0)
            } else {
                headroom
            },
            held: taken.saturating_sub(unseen),
            unseen,
            inodes_available: health.reading.inodes.map(|inodes| inodes.available),
            writable: health.reading.writable,
            age: self.clock.now().saturating_sub(health.read_at),
            error: health.error.clone(),
            measured: !matches!(gate, gate::UNKNOWN_OPEN | gate::UNKNOWN_CLOSED),
            closed: ResourceAccount::closed_because(gate).is_some(),
            probe_failures: self.probe_failures.load(Relaxed),
        }
    }

    pub(super) fn emit(&self, event: &Event<'_>) {
        notify(&self.fixed.observers, event);
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
            self.emit(&Event::ProbeSilent {
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

/// Held while settings are compared and replaced, so that changes of shared resources do not interleave. User code must not
/// run under it.
static SETTINGS: Mutex<()> = Mutex::new(());

pub(crate) fn lock_settings() -> MutexGuard<'static, ()> {
    lock(&SETTINGS)
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
