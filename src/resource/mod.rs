//! One thing that can run out: a probe, its sampler, a floor, an account, and what happens when nothing is known.

mod account;
mod builder;
mod failure_policy;
pub(crate) mod gate;
mod inner;
mod settings;
mod sink;

#[cfg(any(test, feature = "test-util"))]
use std::sync::Mutex;
use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::{
    account::ResourceAccount,
    inner::{ResourceInner, lock_settings},
};
pub use self::{
    builder::ResourceBuilder,
    failure_policy::{FailurePolicy, Fallback},
    settings::ResourceSettings,
};
#[cfg(any(test, feature = "test-util"))]
use crate::background::Periodic;
#[cfg(any(test, feature = "test-util"))]
use crate::sync::lock;
use crate::{
    capacity::{BuildError, State},
    probe::{CapacityProbe, DiskProbe, ProbeError, Sampler},
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
    core: Arc<ResourceInner>,
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

    /// What it is set to now.
    pub fn settings(&self) -> ResourceSettings {
        self.core.settings()
    }

    /// Sets it anew while it runs. The account, the state and what requests meet follow at once, by the last reading; what
    /// requests hold stays held. To change several resources and a layer together, see
    /// [`LiveSettings`](crate::LiveSettings).
    ///
    /// # Errors
    ///
    /// When a setting is invalid; then everything stays as it was.
    pub fn reconfigure(&self, settings: ResourceSettings) -> Result<(), BuildError> {
        settings.check()?;
        let lock = lock_settings();
        let change = self.core.reconfigure(settings);
        drop(lock);
        self.core.emit_change(change);
        Ok(())
    }

    /// Asks for a measurement soon, for example after something was deleted: when the last one is
    /// [`min_interval`](ResourceBuilder::min_interval) ago. Returns at once.
    pub fn kick(&self) {
        self.core.account.refresh();
    }

    /// Waits for a measurement that begins now, and tells how things stand then. Blocks the thread; in async code
    /// [`kick`](Self::kick) is enough.
    ///
    /// # Errors
    ///
    /// When the probe does not answer within the time limit for the first measurement. (A probe that fails is no error
    /// here: the report tells.)
    pub fn sample_now(&self) -> Result<ResourceReport, ProbeError> {
        let patience = self.core.fixed.first_measurement_within;
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
        self.core.tick();
    }

    /// Whether both are handles of the same resource.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    fn from_parts(core: Arc<ResourceInner>, sampling: Sampling) -> Self {
        Self {
            core,
            sampling: Arc::new(sampling),
        }
    }

    /// The part that requests reach. It may be kept longer than the resource.
    #[inline]
    pub(crate) fn account(&self) -> &Arc<ResourceAccount> {
        &self.core.account
    }

    /// The name, for a refusal to share.
    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.core.name
    }

    /// The storage itself said that it is full: admits nothing until a reading that begins after this.
    pub(crate) fn exhaust(&self) {
        self.core.exhaust();
    }

    pub(crate) fn core(&self) -> &Arc<ResourceInner> {
        &self.core
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.core.name)
            .field("headroom", &self.core.account.bytes.headroom())
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
    /// Whether everything is refused now, whatever its size: the floor is reached, nothing can be written, no inode is
    /// left, or nobody knows and the failure policy is to refuse.
    pub closed: bool,
    /// Measurements that failed since it was built.
    pub probe_failures: u64,
}

/// What samples a resource.
enum Sampling {
    Thread(#[expect(dead_code, reason = "held for its drop")] Sampler),
    /// Only when it is told to.
    #[cfg(any(test, feature = "test-util"))]
    Manual(Mutex<(Box<dyn CapacityProbe>, sink::ResourceSink)>),
}
