use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use super::ResourceReport;
use crate::{
    admission::{FailurePolicy, Fallback},
    capacity::{Account, Bands, Event, Floor, Observer, Reading, Reason, State, StateMachine, notify},
    clock::Clock,
    probe::{ProbeError, Signal, Watched},
};

/// What a resource was built with.
pub(in crate::admission) struct Settings {
    pub(in crate::admission) floor: Floor,
    pub(in crate::admission) essential: Floor,
    pub(in crate::admission) inode_floor: u64,
    pub(in crate::admission) bands: Bands,
    pub(in crate::admission) policy: FailurePolicy,
    pub(in crate::admission) interval: Duration,
    pub(in crate::admission) max_age: Duration,
    pub(in crate::admission) first_measurement_within: Duration,
    pub(in crate::admission) observers: Vec<Arc<dyn Observer>>,
}

/// What requests, the sampler and the watchdog share.
pub(in crate::admission) struct Core {
    pub(in crate::admission) name: Arc<str>,
    pub(in crate::admission) bytes: Account,
    pub(in crate::admission) inodes: Account,
    pub(in crate::admission) block_size: u32,
    /// [`Gate values`](gate); requests look at nothing else when it is open.
    gate: AtomicU8,
    ceiling: AtomicU64,
    /// The part of the floor that essential requests may use.
    allowance: AtomicU64,
    unseen: AtomicU64,
    /// The storage said that it is full, and no reading has begun since.
    exhausted: AtomicBool,
    pub(super) health: Mutex<Health>,
    pub(super) settings: Settings,
    pub(super) signal: Arc<Signal>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a resource says to every request, whatever its size.
pub(in crate::admission) mod gate {
    /// The account decides.
    pub(in crate::admission) const OPEN: u8 = 0;
    /// The account decides, and inodes are few enough to be counted.
    pub(in crate::admission) const COUNT_INODES: u8 = 1;
    pub(in crate::admission) const FULL: u8 = 2;
    pub(in crate::admission) const READ_ONLY: u8 = 3;
    pub(in crate::admission) const NO_INODES: u8 = 4;
    /// Nobody knows: let through.
    pub(in crate::admission) const UNKNOWN_OPEN: u8 = 5;
    /// Nobody knows: refuse.
    pub(in crate::admission) const UNKNOWN_CLOSED: u8 = 6;
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

impl Core {
    /// With an account that is still empty; [`ResourceSink::open`](super::sink::ResourceSink::open) fills it.
    pub(in crate::admission) fn new(
        name: Arc<str>,
        settings: Settings,
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
            }),
            settings,
            signal,
            clock,
        }
    }

    /// The largest demand that could ever be met.
    #[inline]
    pub(in crate::admission) fn ceiling(&self) -> u64 {
        self.ceiling.load(Relaxed)
    }

    /// How far below zero essential requests may bring the headroom.
    #[inline]
    pub(in crate::admission) fn allowance(&self) -> u64 {
        self.allowance.load(Relaxed)
    }

    #[inline]
    pub(in crate::admission) fn gate(&self) -> u8 {
        self.gate.load(Relaxed)
    }

    pub(in crate::admission) fn kick(&self) {
        self.signal.kick();
    }

    /// Closes held bytes, and asks for a sample when many wait for one.
    pub(in crate::admission) fn close(&self, amount: u64) {
        let closed = self.bytes.close(amount);
        if closed >= CLOSED_BOUND && closed - amount < CLOSED_BOUND {
            self.kick();
        }
    }

    /// The storage itself said that it is full: admits nothing until a reading that begins after this.
    pub(in crate::admission) fn exhaust(&self) {
        let health = lock(&self.health);
        self.exhausted.store(true, Relaxed);
        self.set_gate(&health, self.clock.now());
        drop(health);
        self.kick();
    }

    #[inline]
    pub(in crate::admission) fn is_exhausted(&self) -> bool {
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

    pub(super) fn limits(&self, reading: &Reading) -> (i64, i64) {
        let floor = self.settings.floor.of(reading.total);
        let inodes = reading.inodes.map_or(0, |inodes| inodes.available);
        (
            difference(reading.available, floor),
            difference(inodes, self.settings.inode_floor),
        )
    }

    /// Puts a good reading on record and tells what changed. Returns the former `available`.
    pub(super) fn take_in(&self, reading: &Reading, taken_at: Duration, limit: i64, unseen: u64) -> u64 {
        let floor = self.settings.floor.of(reading.total);
        self.ceiling.store(
            if reading.total == u64::MAX {
                u64::MAX
            } else {
                reading.total.saturating_sub(floor)
            },
            Relaxed,
        );
        self.allowance
            .store(self.settings.essential.of(reading.total).min(floor), Relaxed);
        self.unseen.store(unseen, Relaxed);
        let mut health = lock(&self.health);
        let before = std::mem::replace(&mut health.reading, *reading);
        health.read_at = taken_at;
        health.limit = limit;
        health.error = None;
        let now = self.clock.now();
        // A reading may be good and yet too old, when it was published long ago.
        let is_fresh = now.saturating_sub(taken_at) <= self.settings.max_age;
        let recovered = is_fresh && health.unknown_since.take().is_some();
        let left = health
            .states
            .observe(reading.available, reading.total, floor, &self.settings.bands);
        let to = health.states.state();
        self.set_gate(&health, now);
        drop(health);

        let resource = &*self.name;
        if recovered {
            self.tell(&Event::ProbeRecovered { resource });
        }
        if let Some(from) = left {
            let available = reading.available;
            self.tell(&Event::StateChanged {
                resource,
                from,
                to,
                available,
                floor,
            });
        }
        before.available
    }

    pub(super) fn take_in_failure(&self, error: &ProbeError) {
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
            .and_then(|since| self.settings.policy.after(now.saturating_sub(since)));
        let inodes = health.reading.inodes.map(|inodes| inodes.available);
        let value = match fallback {
            Some(Fallback::Open) => gate::UNKNOWN_OPEN,
            Some(Fallback::Closed) => gate::UNKNOWN_CLOSED,
            None if !health.reading.writable => gate::READ_ONLY,
            None if health.state() == State::Full || self.is_exhausted() => gate::FULL,
            None => match inodes {
                Some(available) if available <= self.settings.inode_floor => gate::NO_INODES,
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
        let taken = health.limit.saturating_sub(headroom).max(0).unsigned_abs();
        ResourceReport {
            state: health.state(),
            total: health.reading.total,
            available: health.reading.available,
            floor: self.settings.floor.of(health.reading.total),
            headroom: if self.is_exhausted() { headroom.min(0) } else { headroom },
            held: taken.saturating_sub(unseen),
            unseen,
            inodes_available: health.reading.inodes.map(|inodes| inodes.available),
            writable: health.reading.writable,
            age: self.clock.now().saturating_sub(health.read_at),
            error: health.error.clone(),
            measured: !matches!(self.gate.load(Acquire), gate::UNKNOWN_OPEN | gate::UNKNOWN_CLOSED),
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        notify(&self.settings.observers, event);
    }

    /// Why the resource refuses now, if the account does not.
    pub(in crate::admission) fn closed_because(gate: u8) -> Option<Reason> {
        match gate {
            gate::FULL => Some(Reason::Space),
            gate::READ_ONLY => Some(Reason::ReadOnly),
            gate::NO_INODES => Some(Reason::Inodes),
            gate::UNKNOWN_CLOSED => Some(Reason::Unmeasured),
            _ => None,
        }
    }
}

impl Watched for Core {
    fn check_age(&self) {
        let mut health = lock(&self.health);
        let now = self.clock.now();
        let age = now.saturating_sub(health.read_at);
        let became_silent = age > self.settings.max_age && health.unknown_since.is_none();
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

fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    // Half the range is kept free for holds.
    difference.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is plain data that is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the watchdog.
pub(in crate::admission) fn watched(core: &Arc<Core>) -> Weak<dyn Watched> {
    let weak: Weak<Core> = Arc::downgrade(core);
    weak
}
