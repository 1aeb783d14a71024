use std::time::Duration;

use super::FailurePolicy;
use crate::capacity::{Bands, BuildError, Floor};

/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(10);

/// What can be changed of a [`Resource`](super::Resource) while it runs. The methods are those of
/// [`ResourceBuilder`](super::ResourceBuilder); what is invalid is refused when it is built or applied.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct ResourceSettings {
    pub(super) floor: Floor,
    pub(super) essential: Floor,
    pub(super) inode_floor: u64,
    pub(super) bands: Bands,
    pub(super) policy: FailurePolicy,
    pub(super) interval: Duration,
    pub(super) min_interval: Option<Duration>,
    pub(super) max_age: Duration,
}

impl ResourceSettings {
    /// Sets what must stay free.
    pub const fn floor(mut self, floor: Floor) -> Self {
        self.floor = floor;
        self
    }

    /// Sets how much of the floor essential requests may use.
    pub const fn essential_share(mut self, of_floor: Floor) -> Self {
        self.essential = of_floor;
        self
    }

    /// Sets how many inodes must stay free.
    pub const fn inode_floor(mut self, inodes: u64) -> Self {
        self.inode_floor = inodes;
        self
    }

    /// Sets how far above the floor the state `Near` begins.
    pub const fn near(mut self, above_floor: Floor) -> Self {
        self.bands.near = above_floor;
        self
    }

    /// Sets how far above its beginning a state ends.
    pub const fn exit_margin(mut self, above_entry: Floor) -> Self {
        self.bands.exit = above_entry;
        self
    }

    /// Sets what happens while nothing is known.
    pub const fn on_probe_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how often to measure: 10 ms to 1 h.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the least time between two measurements: 10 ms to the interval.
    pub const fn min_interval(mut self, min_interval: Duration) -> Self {
        self.min_interval = Some(min_interval);
        self
    }

    /// Sets how old a reading may become before the failure policy applies; longer than the interval.
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        for (setting, floor) in [
            ("floor", &self.floor),
            ("essential_share", &self.essential),
            ("near", &self.bands.near),
            ("exit_margin", &self.bands.exit),
        ] {
            if let Some((value, remedy)) = floor.flaw() {
                return Err(BuildError::invalid(setting, value, remedy));
            }
        }
        let invalid =
            |setting, value: Duration, remedy| Err(BuildError::invalid(setting, format!("{value:?}"), remedy));
        if !(SHORTEST..=Duration::from_secs(3600)).contains(&self.interval) {
            return invalid("interval", self.interval, "give an interval from 10 ms to 1 h");
        }
        if !(SHORTEST..=self.interval).contains(&self.min_rest()) {
            return invalid(
                "min_interval",
                self.min_rest(),
                "give a minimum from 10 ms to the interval",
            );
        }
        if self.max_age <= self.interval {
            return invalid("max_age", self.max_age, "give an age limit longer than the interval");
        }
        Ok(())
    }

    /// The least time between two measurements.
    pub(super) fn min_rest(&self) -> Duration {
        let default = || (self.interval / 10).clamp(SHORTEST, Duration::from_secs(10));
        self.min_interval.unwrap_or_else(default)
    }
}

impl Default for ResourceSettings {
    fn default() -> Self {
        Self {
            floor: Floor::default(),
            essential: Floor::NONE,
            inode_floor: 0,
            bands: Bands::default(),
            policy: FailurePolicy::default(),
            interval: Duration::from_millis(250),
            min_interval: None,
            max_age: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_rest_is_a_tenth_of_the_interval_by_default() {
        for (interval, expected) in [(10, 10), (250, 25), (60_000, 6000), (3_600_000, 10_000)] {
            let settings = ResourceSettings::default().interval(Duration::from_millis(interval));
            assert_eq!(settings.min_rest(), Duration::from_millis(expected));
        }
    }
}
