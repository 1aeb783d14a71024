use std::{fmt, sync::Arc};

use super::{Limits, LiveLimits};
use crate::{
    capacity::{BuildError, WriteBuffer},
    resource::{Resource, ResourceSettings, lock_settings},
};

/// A handle to change the settings of a layer and of its resources while they run; from
/// [`StorageGuardLayer::live_settings`](crate::StorageGuardLayer::live_settings).
///
/// A change applies whole or not at all, and at once: what requests meet follows by the last readings. Requests under way
/// keep what they hold.
///
/// ```
/// use tower_storage_guard::{Floor, Resource, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let disk = Resource::disk(path).name("disk").build()?;
/// let guard = StorageGuardLayer::builder().resource(disk).report_only(true).build()?;
///
/// let live = guard.live_settings();
/// live.update(|settings| {
///     settings.layer = settings.layer.report_only(false).max_body(Some(1 << 30));
///     if let Some(disk) = settings.resource_mut("disk") {
///         *disk = disk.floor(Floor::percent(2.0));
///     }
/// })?;
///
/// let before = live.current();
/// let error = live.update(|settings| settings.layer = settings.layer.minimum_charge(2 << 30)).unwrap_err();
/// assert_eq!(error.setting(), "minimum_charge");
/// assert_eq!(live.current(), before);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LiveSettings {
    limits: Arc<LiveLimits>,
    resources: Arc<[Resource]>,
    /// Without a largest body: it has resources or ledgers, or the layer is switched off.
    has_use: bool,
}

impl LiveSettings {
    pub(super) fn new(limits: Arc<LiveLimits>, resources: Vec<Resource>, has_use: bool) -> Self {
        Self {
            has_use,
            limits,
            resources: resources.into(),
        }
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Settings {
        Settings {
            layer: LayerSettings {
                limits: self.limits.load(),
            },
            resources: self
                .resources
                .iter()
                .map(|resource| (resource.core().name.clone(), resource.settings()))
                .collect(),
        }
    }

    /// Puts these settings into force, all of them.
    ///
    /// # Errors
    ///
    /// When one of them is invalid, or they are those of another layer; then everything stays as it was.
    pub fn apply(&self, settings: &Settings) -> Result<(), BuildError> {
        self.replace(None, settings).map(drop)
    }

    /// Changes what is in force now. When the settings change in the meantime, `change` is called again with the new ones.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn update(&self, mut change: impl FnMut(&mut Settings)) -> Result<(), BuildError> {
        loop {
            let current = self.current();
            let mut settings = current.clone();
            change(&mut settings);
            if self.replace(Some(&current), &settings)? {
                return Ok(());
            }
        }
    }

    /// Puts settings into force, if those that are expected still are. Returns whether they were.
    fn replace(&self, expected: Option<&Settings>, settings: &Settings) -> Result<bool, BuildError> {
        self.check(settings)?;
        let lock = lock_settings();
        if expected.is_some_and(|expected| *expected != self.current()) {
            return Ok(false);
        }
        self.limits.store(settings.layer.limits);
        let changes: Vec<_> = self
            .resources
            .iter()
            .zip(&settings.resources)
            // What did not change is left alone: a change makes a resource forget how long it has been better.
            .filter(|(resource, (_, settings))| resource.settings() != *settings)
            .map(|(resource, (_, settings))| (resource, resource.core().reconfigure(*settings)))
            .collect();
        drop(lock);
        for (resource, change) in changes {
            resource.core().emit_change(change);
        }
        Ok(true)
    }

    fn check(&self, settings: &Settings) -> Result<(), BuildError> {
        let names = self.resources.iter().map(Resource::name);
        if !names.eq(settings.resources.iter().map(|(name, _)| &**name)) {
            let names: Vec<_> = settings.resources.iter().map(|(name, _)| &**name).collect();
            return Err(BuildError::invalid(
                "resources",
                format!("[{}]", names.join(", ")),
                "give settings that were told by `current` of the same handle",
            ));
        }
        settings.layer.limits.check(self.has_use)?;
        for (_, settings) in &settings.resources {
            settings.check()?;
        }
        Ok(())
    }
}

impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSettings")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

/// The settings of a layer and of its resources, by [`LiveSettings`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Those of the layer itself.
    pub layer: LayerSettings,
    resources: Vec<(Arc<str>, ResourceSettings)>,
}

impl Settings {
    /// Those of the first resource of this name.
    pub fn resource_mut(&mut self, name: &str) -> Option<&mut ResourceSettings> {
        self.resources_mut()
            .find_map(|(found, settings)| (found == name).then_some(settings))
    }

    /// Those of all resources, with their names.
    pub fn resources_mut(&mut self) -> impl Iterator<Item = (&str, &mut ResourceSettings)> {
        self.resources.iter_mut().map(|(name, settings)| (&**name, settings))
    }
}

/// What can be changed of a [`StorageGuardLayer`](crate::StorageGuardLayer) while it runs. The methods are those of
/// [`StorageGuardBuilder`](crate::StorageGuardBuilder).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct LayerSettings {
    limits: Limits,
}

impl LayerSettings {
    /// Sets the largest body, in bytes; `None` means no limit but what could ever fit.
    pub const fn max_body(mut self, bytes: Option<u64>) -> Self {
        self.limits.maximum = match bytes {
            Some(bytes) => bytes,
            None => u64::MAX,
        };
        self
    }

    /// Sets what a request counts at least, in bytes.
    pub const fn minimum_charge(mut self, bytes: u64) -> Self {
        self.limits.minimum = bytes;
        self
    }

    /// Sets how much the inner service may have unwritten when it asks for more. Counts for requests to come.
    pub const fn write_buffer(mut self, write_buffer: WriteBuffer) -> Self {
        self.limits.write_buffer = write_buffer;
        self
    }

    /// Sets whether bodies of unknown length are refused with 411.
    pub const fn require_length(mut self, require: bool) -> Self {
        self.limits.require_length = require;
        self
    }

    /// Sets whether refusals are only counted and told.
    pub const fn report_only(mut self, report_only: bool) -> Self {
        self.limits.report_only = report_only;
        self
    }
}
