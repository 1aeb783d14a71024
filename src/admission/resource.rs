use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use super::{Event, FailurePolicy, Fallback, Observer, ResourceBuilder, notify};
use crate::{
    capacity::{Account, Bands, Floor, Reading, Reason, Reconciler, State, StateMachine, Visibility},
    probe::{CapacityProbe, Clock, DiskProbe, ProbeError, Sampler, Signal, Sink, Watched},
};

/// A resource that requests write to: a probe, its sampler, a floor and an account of what is held.
///
/// A handle is cheap to clone. Give the same one to every layer whose requests land there: what one of them admits, the
/// others know of. The sampler's thread ends when the last handle is dropped, layers and requests under way included.
///
/// ```
/// use tower_storage_guard::{Floor, Resource, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let disk = Resource::disk(path).floor(Floor::bytes(64 << 20)).build()?;
/// let uploads = StorageGuardLayer::builder().resource(disk.clone()).build()?;
/// let thumbnails = StorageGuardLayer::builder().resource(disk.clone()).max_body(1 << 20).build()?;
/// println!("room for {} bytes", disk.report().headroom);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resource {
    core: Arc<Core>,
    /// Shared by all handles; stops the sampler when the last one goes.
    sampling: Arc<Sampling>,
}

impl Resource {
    /// The file system that holds `path`, measured by a [`DiskProbe`].
    pub fn disk(path: impl Into<std::path::PathBuf>) -> ResourceBuilder {
        Self::builder("disk", DiskProbe::new(path))
    }

    /// Anything that a probe can measure. The name is for logs and metrics; clients never see it.
    pub fn builder(name: impl Into<String>, probe: impl CapacityProbe + 'static) -> ResourceBuilder {
        ResourceBuilder::new(name.into(), Box::new(probe))
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// How things stand. Takes a lock that requests never touch.
    #[must_use]
    pub fn report(&self) -> ResourceReport {
        self.core.report()
    }

    /// Asks for a measurement soon, for example after something was deleted. Returns at once.
    pub fn kick(&self) {
        self.core.kick();
    }

    /// Waits for a measurement that begins now, and tells how things stand then. Blocks the thread; in async code
    /// [`kick`](Self::kick) is enough.
    ///
    /// # Errors
    ///
    /// When the probe does not answer within the time limit for the first measurement. (A probe that fails is no error
    /// here: the report tells.)
    pub fn sample_now(&self) -> Result<ResourceReport, ProbeError> {
        let patience = self.core.settings.first_measurement_within;
        match &*self.sampling {
            Sampling::Thread(_) => {
                if !self.core.signal.wait_for_next(patience) {
                    return Err(ProbeError::timed_out(patience));
                }
            }
            #[cfg(any(test, feature = "test-util"))]
            Sampling::Manual(manual) => {
                let mut manual = lock(manual);
                let (probe, sink) = &mut *manual;
                crate::probe::sample(&mut **probe, sink);
            }
        }
        Ok(self.report())
    }

    /// Sets the state by hand, or with `None` returns to what is measured. For tests of a service's answers.
    #[cfg(any(test, feature = "test-util"))]
    pub fn force_state(&self, state: Option<State>) {
        let mut health = lock(&self.core.health);
        health.forced = state;
        self.core.set_gate(&health, self.core.clock.now());
    }

    /// Looks now whether the last reading is too old, as the watchdog does from time to time.
    #[cfg(any(test, feature = "test-util"))]
    pub fn check_age(&self) {
        Watched::check_age(&*self.core);
    }

    pub(super) fn from_parts(core: Arc<Core>, sampling: Sampling) -> Self {
        Self {
            core,
            sampling: Arc::new(sampling),
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.core.name)
            .field("headroom", &self.core.bytes.headroom())
            .finish_non_exhaustive()
    }
}

/// How a resource stands at one moment. Amounts are bytes, or the unit of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceReport {
    /// How full it is.
    pub state: State,
    /// All that could ever be stored.
    pub total: u64,
    /// What was free at the last reading.
    pub available: u64,
    /// What must stay free.
    pub floor: u64,
    /// What may still be admitted; negative when less than the floor is free.
    pub headroom: i64,
    /// What requests under way hold.
    pub held: u64,
    /// What finished requests hold until a reading shows it.
    pub unseen: u64,
    /// Inodes that are free, where the file system has a limit of them.
    pub inodes_available: Option<u64>,
    /// Whether it can be written to.
    pub writable: bool,
    /// How old the last good reading is.
    pub age: Duration,
    /// What the probe said of its last measurement, if that failed.
    pub error: Option<String>,
    /// Whether requests are decided on the last account, or by the failure policy.
    pub measured: bool,
}

/// What samples a resource.
pub(super) enum Sampling {
    Thread(#[expect(dead_code, reason = "held for its drop")] Sampler),
    /// Only when it is told to.
    #[cfg(any(test, feature = "test-util"))]
    Manual(Mutex<(Box<dyn CapacityProbe>, ResourceSink)>),
}

/// What a resource was built with.
pub(super) struct Settings {
    pub(super) floor: Floor,
    pub(super) essential: Floor,
    pub(super) inode_floor: u64,
    pub(super) bands: Bands,
    pub(super) policy: FailurePolicy,
    pub(super) interval: Duration,
    pub(super) max_age: Duration,
    pub(super) first_measurement_within: Duration,
    pub(super) observers: Vec<Arc<dyn Observer>>,
}

/// What requests, the sampler and the watchdog share.
pub(super) struct Core {
    pub(super) name: Arc<str>,
    pub(super) bytes: Account,
    pub(super) inodes: Account,
    pub(super) block_size: u32,
    /// [`Gate values`](gate); requests look at nothing else when it is open.
    gate: AtomicU8,
    ceiling: AtomicU64,
    /// The part of the floor that essential requests may use.
    allowance: AtomicU64,
    unseen: AtomicU64,
    health: Mutex<Health>,
    settings: Settings,
    signal: Arc<Signal>,
    clock: Arc<dyn Clock>,
}

/// What a resource says to every request, whatever its size.
pub(super) mod gate {
    /// The account decides.
    pub(in super::super) const OPEN: u8 = 0;
    /// The account decides, and inodes are few enough to be counted.
    pub(in super::super) const COUNT_INODES: u8 = 1;
    pub(in super::super) const FULL: u8 = 2;
    pub(in super::super) const READ_ONLY: u8 = 3;
    pub(in super::super) const NO_INODES: u8 = 4;
    /// Nobody knows: let through.
    pub(in super::super) const UNKNOWN_OPEN: u8 = 5;
    /// Nobody knows: refuse.
    pub(in super::super) const UNKNOWN_CLOSED: u8 = 6;
}

/// What is known beside the account. Only the sampler, the watchdog and reports lock it.
struct Health {
    reading: Reading,
    /// When the last good reading was taken.
    read_at: Duration,
    /// Since when nothing is known, if so.
    unknown_since: Option<Duration>,
    error: Option<String>,
    states: StateMachine,
    forced: Option<State>,
    limit: i64,
}

impl Health {
    fn state(&self) -> State {
        self.forced.unwrap_or(self.states.state())
    }
}

/// With more free inodes than this they are not counted: no burst between two samples uses up so many.
const PLENTY_OF_INODES: u64 = 1 << 20;
/// Bytes closed since the last sample that ask for another at once.
const CLOSED_BOUND: u64 = 64 << 20;
/// Sampling is slowed down to this when nothing happens.
const SLOWEST: Duration = Duration::from_secs(1);
/// Close to the floor sampling is this much faster.
const HURRY: u32 = 5;

impl Core {
    pub(super) fn open(
        name: Arc<str>,
        settings: Settings,
        signal: Arc<Signal>,
        clock: Arc<dyn Clock>,
        first: Reading,
    ) -> (Arc<Self>, ResourceSink) {
        let now = clock.now();
        let core = Arc::new(Self {
            name,
            bytes: Account::new(0),
            inodes: Account::new(0),
            block_size: first.block_size,
            gate: AtomicU8::new(gate::OPEN),
            ceiling: AtomicU64::new(0),
            allowance: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            health: Mutex::new(Health {
                reading: first,
                read_at: now.saturating_sub(first.age),
                unknown_since: None,
                error: None,
                states: StateMachine::default(),
                forced: None,
                limit: 0,
            }),
            settings,
            signal,
            clock,
        });
        let (limit, inode_limit) = core.limits(&first);
        let sink = ResourceSink {
            bytes: Reconciler::open(&core.bytes, limit),
            inodes: Reconciler::open(&core.inodes, inode_limit),
            visibility: Visibility::default(),
            began: now,
            lag: first.lag,
            quiet: 0,
            core: core.clone(),
        };
        core.take_in(&first, now, limit, 0);
        (core, sink)
    }

    /// The largest demand that could ever be met.
    #[inline]
    pub(super) fn ceiling(&self) -> u64 {
        self.ceiling.load(Relaxed)
    }

    /// How far below zero essential requests may bring the headroom.
    #[inline]
    pub(super) fn allowance(&self) -> u64 {
        self.allowance.load(Relaxed)
    }

    #[inline]
    pub(super) fn gate(&self) -> u8 {
        self.gate.load(Relaxed)
    }

    pub(super) fn kick(&self) {
        self.signal.kick();
    }

    /// Closes held bytes, and asks for a sample when many wait for one.
    pub(super) fn close(&self, amount: u64) {
        let closed = self.bytes.close(amount);
        if closed >= CLOSED_BOUND && closed - amount < CLOSED_BOUND {
            self.kick();
        }
    }

    /// The storage itself said that it is full.
    pub(super) fn exhaust(&self) {
        self.bytes.exhaust();
        self.kick();
    }

    fn limits(&self, reading: &Reading) -> (i64, i64) {
        let floor = self.settings.floor.of(reading.total);
        let inodes = reading.inodes.map_or(0, |inodes| inodes.available);
        (
            difference(reading.available, floor),
            difference(inodes, self.settings.inode_floor),
        )
    }

    /// Puts a good reading on record and tells what changed. Returns the former `available`.
    fn take_in(&self, reading: &Reading, taken_at: Duration, limit: i64, unseen: u64) -> u64 {
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

    fn take_in_failure(&self, error: &ProbeError) {
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

    fn set_gate(&self, health: &Health, now: Duration) {
        let fallback = health
            .unknown_since
            .and_then(|since| self.settings.policy.after(now.saturating_sub(since)));
        let inodes = health.reading.inodes.map(|inodes| inodes.available);
        let value = match fallback {
            Some(Fallback::Open) => gate::UNKNOWN_OPEN,
            Some(Fallback::Closed) => gate::UNKNOWN_CLOSED,
            None if !health.reading.writable => gate::READ_ONLY,
            None if health.state() == State::Full => gate::FULL,
            None => match inodes {
                Some(available) if available <= self.settings.inode_floor => gate::NO_INODES,
                Some(available) if available < PLENTY_OF_INODES => gate::COUNT_INODES,
                _ => gate::OPEN,
            },
        };
        self.gate.store(value, Release);
    }

    fn report(&self) -> ResourceReport {
        let health = lock(&self.health);
        let headroom = self.bytes.headroom();
        let unseen = self.unseen.load(Relaxed).saturating_add(self.bytes.closed());
        let taken = health.limit.saturating_sub(headroom).max(0).unsigned_abs();
        ResourceReport {
            state: health.state(),
            total: health.reading.total,
            available: health.reading.available,
            floor: self.settings.floor.of(health.reading.total),
            headroom,
            held: taken.saturating_sub(unseen),
            unseen,
            inodes_available: health.reading.inodes.map(|inodes| inodes.available),
            writable: health.reading.writable,
            age: self.clock.now().saturating_sub(health.read_at),
            error: health.error.clone(),
            measured: !matches!(self.gate.load(Acquire), gate::UNKNOWN_OPEN | gate::UNKNOWN_CLOSED),
        }
    }

    fn tell(&self, event: &Event<'_>) {
        notify(&self.settings.observers, event);
    }

    /// Why the resource refuses now, if the account does not.
    pub(super) fn closed_because(gate: u8) -> Option<Reason> {
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

/// Takes the readings of one resource in.
pub(super) struct ResourceSink {
    core: Arc<Core>,
    bytes: Reconciler,
    inodes: Reconciler,
    visibility: Visibility,
    began: Duration,
    lag: Duration,
    /// Samples in a row between which nothing happened.
    quiet: u32,
}

impl Sink for ResourceSink {
    fn before(&mut self) {
        self.began = self.core.clock.now();
        self.bytes.before_measuring(&self.core.bytes, self.began, self.lag);
        self.inodes.before_measuring(&self.core.inodes, self.began, self.lag);
    }

    fn after(&mut self, outcome: Result<Reading, ProbeError>) -> Duration {
        let reading = match outcome {
            Ok(reading) => reading,
            Err(error) => {
                self.core.take_in_failure(&error);
                return self.core.settings.interval;
            }
        };
        self.lag = reading.lag;
        let (limit, inode_limit) = self.core.limits(&reading);
        let moved = limit != self.bytes.limit();
        let shows_until = self.began.checked_sub(reading.age.saturating_add(reading.lag));
        let seen = self.bytes.after_measuring(&self.core.bytes, limit, shows_until);
        self.inodes.after_measuring(&self.core.inodes, inode_limit, shows_until);
        let taken_at = self.began.saturating_sub(reading.age);
        let before = self.core.take_in(&reading, taken_at, limit, self.bytes.unseen());
        if let Some(unseen) = self.visibility.observe(seen, before, reading.available) {
            self.core.tell(&Event::WritesUnseen {
                resource: &self.core.name,
                closed: unseen.closed,
                seen: unseen.seen,
            });
        }
        self.pace(moved || seen > 0)
    }
}

impl ResourceSink {
    fn pace(&mut self, something_happened: bool) -> Duration {
        let interval = self.core.settings.interval;
        let headroom = self.core.bytes.headroom();
        if lock(&self.core.health).state() != State::Ok || headroom < self.bytes.limit() / 16 {
            self.quiet = 0;
            return interval / HURRY;
        }
        self.quiet = if something_happened {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        // After some ten quiet samples, so that a pause between two uploads changes nothing.
        (interval * (1 + self.quiet / 10).min(4)).min(SLOWEST.max(interval))
    }
}

fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    // Half the range is kept free for holds.
    difference.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is plain data that is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the watchdog.
pub(super) fn watched(core: &Arc<Core>) -> Weak<dyn Watched> {
    let weak: Weak<Core> = Arc::downgrade(core);
    weak
}
