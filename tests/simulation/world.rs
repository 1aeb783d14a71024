//! A world: its parts, and what must hold in it at any time.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tower_storage_guard::{
    Ledger, Reading, Resource, StorageGuard, StorageGuardLayer, WriteBuffer, test_util::FakeStore,
};

use crate::{
    dice::Dice,
    handler::Handler,
    plan::{DISKS, Plan, TENANTS},
    setup,
    site::{Fault, Site},
    task::Task,
};

pub(crate) const MIB: u64 = 1 << 20;
/// The name of the account that all tenants share.
pub(crate) const ORGANISATION: &str = "organisation";
const STEPS: u64 = 350;

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) wrong: Option<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) totals: BTreeMap<&'static str, u64>,
}

pub(crate) struct World {
    pub(crate) site: Arc<Site>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) layers: Vec<Guard>,
    pub(crate) books: Vec<Book>,
    pub(crate) tasks: Mutex<Vec<Task>>,
    /// All requests so far.
    pub(crate) plans: Mutex<Vec<Plan>>,
    /// When each disk's account closed how many bytes.
    pub(crate) closes: Mutex<[Vec<(u64, u64)>; DISKS]>,
}

/// A layer, and what it is set to.
pub(crate) struct Guard {
    pub(crate) layer: StorageGuardLayer,
    pub(crate) service: Mutex<StorageGuard<Handler>>,
    pub(crate) disks: Vec<usize>,
    pub(crate) rules: Arc<Mutex<Rules>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) maximum: u64,
    pub(crate) minimum: u64,
    pub(crate) buffer: WriteBuffer,
    pub(crate) require_length: bool,
    pub(crate) report_only: bool,
    /// A classifier knows how many bytes a copy stores.
    pub(crate) classifies: bool,
    /// Handlers get a handle of their reservation.
    pub(crate) exposes: bool,
}

/// A ledger, and what is known of it.
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) store: Option<FakeStore>,
    /// All tenants share one account: that of their organisation.
    pub(crate) is_shared: bool,
    pub(crate) limits: Mutex<[u64; 3]>,
    /// The highest so far.
    pub(crate) most: Mutex<[u64; 3]>,
    /// More than the limit may have been charged, because that is what the settings say.
    pub(crate) is_tainted: Mutex<bool>,
}

impl Book {
    /// The account of a tenant.
    pub(crate) fn account(&self, tenant: usize) -> usize {
        if self.is_shared { 0 } else { tenant }
    }

    pub(crate) fn accounts(&self) -> std::ops::Range<usize> {
        if self.is_shared { 0..1 } else { 0..3 }
    }

    pub(crate) fn ledger_name(&self) -> &'static str {
        if self.is_shared {
            "the organisation"
        } else {
            "the tenant"
        }
    }

    pub(crate) fn name(&self, account: usize) -> &'static str {
        if self.is_shared { ORGANISATION } else { TENANTS[account] }
    }
}

impl World {
    pub(crate) fn run(seed: u64, fault: Fault, keeps_trace: bool) -> Outcome {
        let world = Self::new(seed, fault, keeps_trace);
        // Nothing runs on it: what it is given to read waits until it is dropped.
        let runtime = world
            .site
            .lingers
            .then(|| Builder::new_current_thread().build().unwrap());
        let entered = runtime.as_ref().map(Runtime::enter);
        for _ in 0..STEPS {
            world.step();
            world.watch();
            if world.site.is_wrong() {
                return world.site.outcome();
            }
        }
        if world.is_steady() {
            world.overwrite_steadily();
        }
        world.finish_all();
        drop(entered);
        drop(runtime);
        world.end();
        world.site.outcome()
    }

    fn new(seed: u64, fault: Fault, keeps_trace: bool) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        // Most faults show where only disks limit.
        let has_ledgers = match fault {
            Fault::None => dice.one_in(2),
            fault => fault == Fault::StoreAllowsMore,
        };
        let disks: Vec<_> = (0..1 + dice.below(DISKS as u64))
            .map(|_| setup::disk(&mut dice, fault))
            .collect();
        let count = disks.len();
        let site = Arc::new(Site::new(fault, dice, disks, keeps_trace));
        Arc::new_cyclic(|world: &Weak<Self>| {
            let resources: Vec<_> = (0..count)
                .map(|at| setup::resource(&site, at, setup::policy(&site), world.clone()))
                .collect();
            let books = if has_ledgers { setup::books(&site) } else { Vec::new() };
            let layers = (0..1 + site.below(3))
                .map(|_| setup::guard(&site, &resources, &books))
                .collect();
            Self {
                resources,
                layers,
                books,
                tasks: Mutex::default(),
                plans: Mutex::default(),
                closes: Mutex::default(),
                site,
            }
        })
    }

    /// What must hold at any time.
    fn watch(&self) {
        self.watch_holdings();
        self.watch_ledgers();
    }
}

impl World {
    /// A probe measures, and requests go on meanwhile.
    pub(crate) fn measure(&self, at: usize) -> Result<Reading, io::Error> {
        let site = &self.site;
        if site.is_quiet.load(Relaxed) {
            let reading = site.disk(at).look(site.now());
            let lag = match site.fault {
                Fault::LagIsOverstated => reading.lag * 2,
                _ => reading.lag,
            };
            return Ok(reading.with_lag(lag));
        }
        let hangs = site.one_in(25);
        if hangs {
            site.count("probe: hangs");
            site.say(|| format!("the probe of disk {at} hangs"));
        }
        self.meanwhile(if hangs { 10 + site.below(60) } else { site.below(8) });
        let now = site.now();
        let reading = {
            let mut disk = site.disk(at);
            let mut reading = disk.look(now);
            match site.fault {
                Fault::OldReadings => reading = disk.older(reading),
                Fault::HiddenLag => reading.lag = Duration::ZERO,
                _ => {}
            }
            reading
        };
        self.meanwhile(site.below(8));
        let mut disk = site.disk(at);
        if disk.fails {
            return Err(io::Error::other("a cable"));
        }
        disk.arrived(now);
        Ok(reading)
    }
}
