use std::{fmt, sync::Arc, time::Duration};

use super::{
    FailurePolicy, Resource, ResourceSettings, Sampling,
    inner::{Fixed, ResourceInner},
    sink::ResourceSink,
};
use crate::{
    background::{TICK, every},
    capacity::{BuildError, Floor, Observer},
    clock::{Clock, SystemClock},
    probe::{CapacityProbe, Sampler, Signal},
};

/// Settings of a [`Resource`]; made by [`Resource::builder`] or [`Resource::disk`].
#[must_use = "a resource is made by `build`"]
pub struct ResourceBuilder {
    name: String,
    probe: Box<dyn CapacityProbe>,
    settings: ResourceSettings,
    fixed: Fixed,
    #[cfg(any(test, feature = "test-util"))]
    manual: Option<crate::clock::ManualClock>,
}

impl ResourceBuilder {
    pub(super) fn new(name: String, probe: Box<dyn CapacityProbe>) -> Self {
        Self {
            name,
            probe,
            settings: ResourceSettings::default(),
            fixed: Fixed {
                first_measurement_within: Duration::from_secs(5),
                observers: Vec::new(),
            },
            #[cfg(any(test, feature = "test-util"))]
            manual: None,
        }
    }

    /// Sets everything at once that can be changed while it runs, as told by [`Resource::settings`] or read from a file.
    pub const fn settings(mut self, settings: ResourceSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the name for logs and metrics.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets what must stay free. It must cover what others write between two readings. Default: 5 %, at most 10 GiB.
    pub const fn floor(mut self, floor: Floor) -> Self {
        self.settings.floor = floor;
        self
    }

    /// Sets how much of the floor requests may use that the layer's [`essential`](crate::StorageGuardBuilder::essential)
    /// picks: a full system must still save the lock file that it needs in order to delete. Never more than the floor.
    /// Default: nothing.
    pub const fn essential_share(mut self, of_floor: Floor) -> Self {
        self.settings.essential = of_floor;
        self
    }

    /// Sets how many inodes must stay free. Default: 0.
    pub const fn inode_floor(mut self, inodes: u64) -> Self {
        self.settings.inode_floor = inodes;
        self
    }

    /// Sets how far above the floor the state `Near` begins. Default: 5 % of the total, at most 10 GiB.
    pub const fn near(mut self, above_floor: Floor) -> Self {
        self.settings.bands.near = above_floor;
        self
    }

    /// Sets how far above its beginning a state ends, so that a resource at the edge does not flap. Default: 1 % of the
    /// total, at most 1 GiB.
    pub const fn exit_margin(mut self, above_entry: Floor) -> Self {
        self.settings.bands.exit = above_entry;
        self
    }

    /// Sets what happens while nothing is known. Default: go on with the last account for 30 s, then refuse with 503.
    pub const fn on_probe_failure(mut self, policy: FailurePolicy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// Sets how often to measure: 10 ms to 1 h. Close to the floor, after a refusal and after many written bytes it is
    /// done sooner, when nothing happens later (up to 1 s). Default: 250 ms.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// Sets the least time between two measurements: 10 ms to the interval. It limits how often refused requests, written
    /// bytes and [`Resource::kick`] can trigger an expensive probe; [`Resource::sample_now`] ignores it. Default: a tenth
    /// of the interval, at least 10 ms, at most 10 s.
    pub const fn min_interval(mut self, min_interval: Duration) -> Self {
        self.settings.min_interval = Some(min_interval);
        self
    }

    /// Sets how old a reading may become before the failure policy applies; longer than the interval. Default: 10 s.
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.settings.max_age = max_age;
        self
    }

    /// Sets how long `build` waits for the first measurement. Default: 5 s.
    pub const fn first_measurement_within(mut self, limit: Duration) -> Self {
        self.fixed.first_measurement_within = limit;
        self
    }

    /// Adds an observer of state changes and probe failures.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.fixed.observers.push(Arc::new(observer));
        self
    }

    /// Measures only when [`Resource::sample_now`] is called, and takes the time from this clock. No thread is started
    /// and no watchdog looks at the age.
    #[cfg(any(test, feature = "test-util"))]
    pub fn manual(mut self, clock: crate::clock::ManualClock) -> Self {
        self.manual = Some(clock);
        self
    }

    /// Measures for the first time and starts sampling. Blocks until the first reading is there, for as long as
    /// [`first_measurement_within`](Self::first_measurement_within) at most; a probe that hangs then keeps its thread until it
    /// returns.
    ///
    /// # Errors
    ///
    /// When a setting is invalid, or the first measurement fails or takes too long: a wrong path is an error here, not
    /// at the first request.
    pub fn build(self) -> Result<Resource, BuildError> {
        self.settings.check()?;
        if self.fixed.first_measurement_within.is_zero() {
            return Err(BuildError::invalid(
                "first_measurement_within",
                "0ns",
                "give a time above zero",
            ));
        }
        #[cfg(any(test, feature = "test-util"))]
        if let Some(clock) = self.manual {
            return build_manual(self.name, self.probe, self.settings, self.fixed, clock);
        }
        let Self {
            name,
            probe,
            settings,
            fixed,
            ..
        } = self;
        let name: Arc<str> = name.into();
        let signal = Arc::new(Signal::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut opened = None;
        let sampler = Sampler::start(&name, probe, fixed.first_measurement_within, signal.clone(), |first| {
            let core = Arc::new(ResourceInner::new(name.clone(), settings, fixed, signal, clock, &first));
            opened = Some(core.clone());
            ResourceSink::open(core, &first)
        })
        .map_err(|error| BuildError::first_measurement(&name, error))?;
        #[expect(
            clippy::expect_used,
            clippy::missing_panics_doc,
            reason = "`start` succeeds only after it has called `open`"
        )]
        let core = opened.expect("the sampler opened the account");
        every(TICK, &core);
        Ok(Resource::from_parts(core, Sampling::Thread(sampler)))
    }
}

#[cfg(any(test, feature = "test-util"))]
fn build_manual(
    name: String,
    mut probe: Box<dyn CapacityProbe>,
    settings: ResourceSettings,
    fixed: Fixed,
    clock: crate::clock::ManualClock,
) -> Result<Resource, BuildError> {
    let first = probe
        .measure()
        .map_err(|error| BuildError::first_measurement(&name, error))?;
    let core = Arc::new(ResourceInner::new(
        name.into(),
        settings,
        fixed,
        Arc::default(),
        Arc::new(clock),
        &first,
    ));
    let sink = ResourceSink::open(core.clone(), &first);
    Ok(Resource::from_parts(core, Sampling::Manual((probe, sink).into())))
}

impl fmt::Debug for ResourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceBuilder")
            .field("name", &self.name)
            .field("floor", &self.settings.floor)
            .finish_non_exhaustive()
    }
}
