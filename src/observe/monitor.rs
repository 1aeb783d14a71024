use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    LedgerFigures, ReadinessHandle, Snapshot, TenantFigures, TenantRow,
    history::{History, Point, STEP},
};
use crate::{
    BuildError, Resource, StorageGuardLayer,
    background::{Periodic, every},
};

/// Keeps an eye on layers and resources: what a [`StatusService`](crate::StatusService) shows, what is published as
/// metrics, and the last quarter of an hour.
///
/// It reads what requests and samplers leave behind, on a thread of its own that all monitors share; requests do not
/// know of it. A handle is cheap to clone; the last one ends it.
///
/// ```
/// use tower_storage_guard::{Monitor, Resource, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let disk = Resource::disk(path).build()?;
/// let uploads = StorageGuardLayer::builder().resource(disk).build()?;
/// let monitor = Monitor::builder().layer("uploads", &uploads).build()?;
///
/// let snapshot = monitor.snapshot();
/// assert_eq!(snapshot.resources.len(), 1);
/// println!("{} admitted, {} now", snapshot.layers[0].1.admitted, snapshot.readiness);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor {
    pub(super) shared: Arc<Shared>,
}

/// How many tenants a page shows.
const FULLEST: usize = 10;
/// To find them means to look at all, so it takes at most this part of the time.
const PART: u32 = 50;

pub(super) struct Shared {
    layers: Vec<(String, StorageGuardLayer)>,
    resources: Vec<Resource>,
    tenants: Option<Arc<dyn TenantFigures>>,
    readiness: ReadinessHandle,
    /// A status shows the fullest tenants.
    shows_tenants: AtomicBool,
    #[cfg(feature = "metrics")]
    publishes: bool,
    record: Mutex<Record>,
}

/// What is remembered from tick to tick.
#[derive(Default)]
struct Record {
    ticks: u64,
    history: History,
    ledger: Option<LedgerFigures>,
    fullest: Vec<TenantRow>,
    /// The tick from which on they may be looked for again.
    fullest_due: u64,
}

impl Monitor {
    /// Starts with what there is to look at.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    /// How everything stands now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Tells how ready all of it is.
    #[must_use]
    pub fn readiness(&self) -> ReadinessHandle {
        self.shared.readiness.clone()
    }

    /// Does what is done every second. For tests, with [`MonitorBuilder::manual`].
    #[cfg(any(test, feature = "test-util"))]
    pub fn tick(&self) {
        self.shared.tick();
    }

    /// Looks for the fullest tenants from now on.
    #[cfg(feature = "status")]
    pub(super) fn want_tenants(&self) {
        self.shared.shows_tenants.store(true, Relaxed);
        self.shared.look_for_fullest();
    }

    /// The last quarter of an hour, up to now.
    #[cfg(feature = "status")]
    pub(super) fn history(&self, now: &Snapshot) -> Vec<Point> {
        let record = self.shared.record();
        let mut points: Vec<_> = record.history.points().cloned().collect();
        points.push(Point::of(record.ticks, now));
        points
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("layers", &self.shared.layers)
            .field("resources", &self.shared.resources)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        // A record is sound after any assignment.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Snapshot {
        let record = self.record();
        let (ledger, fullest_tenants) = (record.ledger, record.fullest.clone());
        drop(record);
        Snapshot {
            at: SystemTime::now(),
            readiness: self.readiness.now(),
            resources: self
                .resources
                .iter()
                .map(|resource| (resource.name().to_owned(), resource.report()))
                .collect(),
            layers: self
                .layers
                .iter()
                .map(|(name, layer)| (name.clone(), layer.report()))
                .collect(),
            ledger,
            fullest_tenants,
        }
    }

    fn look_for_fullest(&self) {
        let Some(tenants) = self.tenants.as_ref().filter(|_| self.shows_tenants.load(Relaxed)) else {
            return;
        };
        let record = self.record();
        let now = record.ticks;
        let is_due = now >= record.fullest_due;
        drop(record);
        if is_due {
            let start = Instant::now();
            let fullest = tenants.fullest(FULLEST);
            let rest = (start.elapsed() * PART).as_secs();
            let mut record = self.record();
            record.fullest = fullest;
            record.fullest_due = now + rest;
        }
    }

    fn look(&self) {
        self.look_for_fullest();
        // A ledger may take its time, so the lock is not held meanwhile.
        let ledger = self.tenants.as_ref().map(|tenants| tenants.ledger());
        let snapshot = self.snapshot();
        let mut record = self.record();
        record.ledger = ledger;
        let second = record.ticks;
        record.history.push(Point::of(second, &snapshot));
    }
}

impl Periodic for Shared {
    fn tick(&self) {
        let mut record = self.record();
        record.ticks += 1;
        let is_due = record.ticks % STEP == 0;
        drop(record);
        if is_due {
            self.look();
        }
        #[cfg(feature = "metrics")]
        if self.publishes {
            super::publish::publish(&self.snapshot());
        }
    }
}

/// What a [`Monitor`] looks at.
#[derive(Default)]
#[must_use = "a monitor is made by `build`"]
pub struct MonitorBuilder {
    layers: Vec<(String, StorageGuardLayer)>,
    resources: Vec<Resource>,
    tenants: Option<Arc<dyn TenantFigures>>,
    #[cfg(feature = "metrics")]
    publishes: bool,
    #[cfg(any(test, feature = "test-util"))]
    manual: bool,
}

impl MonitorBuilder {
    /// Adds a layer and the resources that it has. The name is for pages and metrics.
    pub fn layer(mut self, name: impl Into<String>, layer: &StorageGuardLayer) -> Self {
        self.layers.push((name.into(), layer.clone()));
        layer.resources().cloned().fold(self, Self::resource)
    }

    /// Adds a resource, unless it is there already.
    pub fn resource(mut self, resource: Resource) -> Self {
        if !self.resources.iter().any(|other| other.is_same(&resource)) {
            self.resources.push(resource);
        }
        self
    }

    /// Sets where figures about tenants come from.
    pub fn tenants(mut self, tenants: impl TenantFigures + 'static) -> Self {
        self.tenants = Some(Arc::new(tenants));
        self
    }

    /// Publishes all figures every second through the facade [`metrics`], to whatever recorder is installed. Their names
    /// and meanings are those of the Prometheus text.
    #[cfg(feature = "metrics")]
    pub const fn publish_metrics(mut self) -> Self {
        self.publishes = true;
        self
    }

    /// Looks only when [`Monitor::tick`] is called, which stands for a second.
    #[cfg(any(test, feature = "test-util"))]
    pub const fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Starts to look.
    ///
    /// # Errors
    ///
    /// When two layers or two resources have the same name: their figures could not be told apart.
    pub fn build(self) -> Result<Monitor, BuildError> {
        let layers = self.layers.iter().map(|(name, _)| &**name);
        check_names("layer", layers, "give every layer a name of its own")?;
        let resources = self.resources.iter().map(Resource::name);
        let remedy = "give every resource a name of its own, by ResourceBuilder::name";
        check_names("resource", resources, remedy)?;
        let guards = self.layers.iter().map(|(_, layer)| layer.clone()).collect();
        let shared = Arc::new(Shared {
            readiness: ReadinessHandle::of(self.resources.clone(), guards),
            layers: self.layers,
            resources: self.resources,
            tenants: self.tenants,
            shows_tenants: AtomicBool::new(false),
            #[cfg(feature = "metrics")]
            publishes: self.publishes,
            record: Mutex::default(),
        });
        shared.look();
        #[cfg(any(test, feature = "test-util"))]
        if self.manual {
            return Ok(Monitor { shared });
        }
        every(Duration::from_secs(1), &shared);
        Ok(Monitor { shared })
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorBuilder")
            .field("layers", &self.layers)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

fn check_names<'a>(
    setting: &'static str,
    names: impl Iterator<Item = &'a str>,
    remedy: &'static str,
) -> Result<(), BuildError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(BuildError::invalid(setting, format!("`{name}` twice"), remedy));
        }
    }
    Ok(())
}
