use super::FakeProbe;
use crate::{
    capacity::{Floor, Reading, State},
    clock::ManualClock,
    resource::{Resource, ResourceBuilder, ResourceReport},
};

/// A resource without a thread: it is measured when [`sample`](Self::sample) says so, by a [`FakeProbe`], on a
/// [`ManualClock`]. Nothing needs to stay free unless it is built otherwise.
#[derive(Clone, Debug)]
pub struct FakeResource {
    probe: FakeProbe,
    clock: ManualClock,
    resource: Resource,
}

impl FakeResource {
    /// A resource of `total` bytes, of which `available` are free.
    #[must_use]
    pub fn new(total: u64, available: u64) -> Self {
        Self::with(Reading::new(total, available), |builder| builder)
    }

    /// A resource with a reading and settings of your own.
    ///
    /// # Panics
    ///
    /// When the settings are invalid.
    #[must_use]
    #[expect(clippy::panic, reason = "a test with invalid settings should fail")]
    pub fn with(reading: Reading, settings: impl FnOnce(ResourceBuilder) -> ResourceBuilder) -> Self {
        let probe = FakeProbe::new(reading);
        let clock = ManualClock::new();
        let builder = Resource::builder("fake", probe.clone())
            .floor(Floor::NONE)
            .manual(clock.clone());
        let resource = match settings(builder).build() {
            Ok(resource) => resource,
            Err(error) => panic!("{error}"),
        };
        Self { probe, clock, resource }
    }

    /// The handle to give to a layer.
    #[must_use]
    pub fn resource(&self) -> Resource {
        self.resource.clone()
    }

    /// What steers the readings.
    #[must_use]
    pub fn probe(&self) -> &FakeProbe {
        &self.probe
    }

    /// What tells it the time.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Measures now.
    ///
    /// # Panics
    ///
    /// Never: a probe that fails shows in the report.
    #[expect(clippy::expect_used, reason = "without a thread there is nothing to wait for")]
    pub fn sample(&self) -> ResourceReport {
        self.resource.sample_now().expect("measured on this thread")
    }

    /// How things stand.
    #[must_use]
    pub fn report(&self) -> ResourceReport {
        self.resource.report()
    }

    /// Sets the state by hand, or with `None` returns to what is measured.
    pub fn force_state(&self, state: Option<State>) {
        self.resource.force_state(state);
    }
}
