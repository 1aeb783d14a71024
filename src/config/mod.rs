//! Settings from a file, beside the house like `observe`.

mod duration;
mod error;
mod floor;
mod policy;
mod size;

use std::collections::BTreeMap;

use serde::Deserialize;

use self::{duration::Time, floor::FloorWords, policy::PolicyWords, size::Size};
use crate::{ResourceSettings, Settings, WriteBuffer};
pub use error::ConfigError;

/// Settings as people write them in a file: sizes such as `"5GiB"`, percentages such as `"5%"`, times such as `"30s"`.
/// Any format that `serde` knows will do; examples are in TOML. A key that is not known is an error.
///
/// What a file does not say stays as the program has set it: apply it to the settings that the program began with, not to
/// those of the last file, and a line that was taken out counts no longer.
///
/// ```
/// use tower_storage_guard::{Config, Resource, StorageGuardLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir();
/// let disk = Resource::disk(path).build()?;
/// let guard = StorageGuardLayer::builder().resource(disk).build()?;
/// let live = guard.live_settings();
/// let built = live.current();
///
/// let config: Config = toml::from_str(
///     r#"
///     report_only = true
///     max_body = "5GiB"
///
///     [resources.disk]
///     floor = { percent = 2, at_least = "64MiB", at_most = "20GiB" }
///     on_probe_failure = { hold = "1min", then = "closed" }
///     "#,
/// )?;
/// live.apply(&config.applied_to(built)?)?;
///
/// let error = toml::from_str::<Config>("[resources.disk]\nflor = \"5%\"").unwrap_err().to_string();
/// assert!(error.contains("unknown field `flor`") && error.contains("line 2"), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    report_only: Option<bool>,
    max_body: Option<Largest>,
    minimum_charge: Option<Size>,
    require_length: Option<bool>,
    write_buffer: Option<Buffer>,
    #[serde(default)]
    resources: BTreeMap<String, ResourceConfig>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceConfig {
    floor: Option<FloorWords>,
    essential_share: Option<FloorWords>,
    inode_floor: Option<u64>,
    near: Option<FloorWords>,
    exit_margin: Option<FloorWords>,
    on_probe_failure: Option<PolicyWords>,
    interval: Option<Time>,
    min_interval: Option<Time>,
    max_age: Option<Time>,
}

/// The largest body: a size, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Largest(Option<u64>);

/// The write buffer: a size, or `"whole"`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Buffer(WriteBuffer);

impl Config {
    /// The settings with what the file says.
    ///
    /// # Errors
    ///
    /// When it names a resource that there is not. (What is out of range is found when the settings are applied.)
    pub fn applied_to(&self, mut settings: Settings) -> Result<Settings, ConfigError> {
        let mut layer = settings.layer;
        if let Some(report_only) = self.report_only {
            layer = layer.report_only(report_only);
        }
        if let Some(Largest(bytes)) = self.max_body {
            layer = layer.max_body(bytes);
        }
        if let Some(Size(bytes)) = self.minimum_charge {
            layer = layer.minimum_charge(bytes);
        }
        if let Some(require) = self.require_length {
            layer = layer.require_length(require);
        }
        if let Some(Buffer(write_buffer)) = self.write_buffer {
            layer = layer.write_buffer(write_buffer);
        }
        settings.layer = layer;
        for (name, config) in &self.resources {
            match settings.resource_mut(name) {
                Some(resource) => *resource = config.applied_to(*resource),
                None => {
                    let known = settings.resources_mut().map(|(name, _)| name.to_owned()).collect();
                    return Err(ConfigError::unknown_resource(name, known));
                }
            }
        }
        Ok(settings)
    }
}

impl ResourceConfig {
    fn applied_to(&self, mut settings: ResourceSettings) -> ResourceSettings {
        if let Some(FloorWords(floor)) = self.floor {
            settings = settings.floor(floor);
        }
        if let Some(FloorWords(share)) = self.essential_share {
            settings = settings.essential_share(share);
        }
        if let Some(inodes) = self.inode_floor {
            settings = settings.inode_floor(inodes);
        }
        if let Some(FloorWords(near)) = self.near {
            settings = settings.near(near);
        }
        if let Some(FloorWords(margin)) = self.exit_margin {
            settings = settings.exit_margin(margin);
        }
        if let Some(PolicyWords(policy)) = self.on_probe_failure {
            settings = settings.on_probe_failure(policy);
        }
        if let Some(Time(interval)) = self.interval {
            settings = settings.interval(interval);
        }
        if let Some(Time(min_interval)) = self.min_interval {
            settings = settings.min_interval(min_interval);
        }
        if let Some(Time(max_age)) = self.max_age {
            settings = settings.max_age(max_age);
        }
        settings
    }
}
