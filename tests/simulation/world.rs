//! A world is made from its seed: disks, resources, ledgers and layers.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use http::{HeaderName, request::Parts};
use tokio::runtime::{Builder, Runtime};
use tower::Layer;
use tower_storage_guard::{
    Class, Classifier, DefaultClassifier, FailurePolicy, Fallback, Floor, Linger, Reading, Resource, SizeModel,
    StorageGuard, StorageGuardLayer, TenantFrom, WriteBuffer,
};

use crate::{
    books::{Book, books},
    dice::Dice,
    disk::Disk,
    handler::Handler,
    life::STEADY,
    plan::{COPIES, Facts, Habits, Plan},
    site::{Fault, Site},
    task::Task,
};

const MIB: u64 = 1 << 20;
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
    pub(crate) habits: Habits,
    pub(crate) tasks: Mutex<Vec<Task>>,
    /// All requests so far.
    pub(crate) plans: Mutex<Vec<Plan>>,
    /// Its tasks never run. The bodies that they keep are dropped with it.
    pub(crate) runtime: Mutex<Option<Runtime>>,
}

/// A layer, and what it is set to.
pub(crate) struct Guard {
    pub(crate) layer: StorageGuardLayer,
    pub(crate) service: Mutex<StorageGuard<Handler>>,
    pub(crate) disks: Vec<usize>,
    /// It has a classifier that knows how large a copy is.
    pub(crate) classifies: bool,
    pub(crate) rules: Mutex<Rules>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) maximum: u64,
    pub(crate) minimum: u64,
    pub(crate) buffer: WriteBuffer,
    pub(crate) require_length: bool,
    pub(crate) report_only: bool,
}

impl World {
    pub(crate) fn run(seed: u64, fault: Fault, keeps_trace: bool) -> Outcome {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let handle = runtime.handle().clone();
        let _entered = handle.enter();
        let world = Self::new(seed, fault, keeps_trace);
        *world.runtime.lock().unwrap() = Some(runtime);
        for _ in 0..STEPS {
            world.step();
            world.watch();
            if world.site.is_wrong() {
                return world.site.outcome();
            }
        }
        world.end();
        world.site.outcome()
    }

    fn new(seed: u64, fault: Fault, keeps_trace: bool) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        // Faults show where disks are what limits.
        let has_ledgers = fault == Fault::None && dice.one_in(2);
        let mut disks: Vec<_> = (0..1 + dice.below(2)).map(|_| disk(&mut dice, fault)).collect();
        let drips = fault == Fault::None && !has_ledgers && dice.one_in(6);
        if drips {
            disks[0].lag = 65 * STEADY.as_millis() as u64;
        }
        let count = disks.len();
        let site = Arc::new(Site::new(fault, dice, disks, keeps_trace));
        Arc::new_cyclic(|world: &Weak<Self>| {
            let resources: Vec<_> = (0..count)
                .map(|at| resource(&site, at, policy(&site), world.clone()))
                .collect();
            let hints = fault == Fault::None && site.one_in(4);
            let habits = Habits {
                lies: !hints && site.one_in(2),
                hints,
                drips,
            };
            let books = if has_ledgers { books(&site, habits) } else { Vec::new() };
            let layers = (0..1 + site.below(3))
                .map(|_| guard(&site, &resources, &books))
                .collect();
            Self {
                resources,
                layers,
                books,
                habits,
                tasks: Mutex::default(),
                plans: Mutex::default(),
                runtime: Mutex::default(),
                site,
            }
        })
    }

    /// What must hold at any time.
    fn watch(&self) {
        for book in &self.books {
            // Of what was leased clients that lie may store more.
            let is_overdrawn = book.store.is_some() && self.habits.lies;
            if *book.is_tainted.lock().unwrap() || is_overdrawn {
                continue;
            }
            for account in book.accounts() {
                let most = book.most.lock().unwrap()[account];
                let charged = match &book.store {
                    None => {
                        let usage = book.ledger.usage(book.name(account));
                        usage.used + usage.reserved
                    }
                    Some(store) => store.record(book.name(account)).map_or(0, |record| record.used()),
                };
                let words = || format!("{} has {charged} bytes of {most}", book.name(account));
                self.site.check(charged <= most, words);
            }
        }
    }

    pub(crate) fn facts<T>(&self, plan: &Plan, look: impl FnOnce(&mut Facts) -> T) -> T {
        look(&mut plan.facts.lock().unwrap())
    }
}

fn disk(dice: &mut Dice, fault: Fault) -> Disk {
    let total = match dice.below(6) {
        0 => MIB + dice.below(2 * MIB),
        _ => (4 + dice.below(14)) * MIB,
    };
    let block = if dice.one_in(2) { 1 } else { 4096 };
    let lag = match dice.below(3) {
        _ if fault == Fault::HiddenLag => 1500,
        0 | 1 => 0,
        _ => 1 + dice.below(1000),
    };
    let inodes = dice.one_in(4).then(|| 10 + dice.below(60));
    let mut disk = Disk::new(total, block, lag, inodes);
    disk.floor = dice.below(2) * dice.below(total / 8);
    disk.inode_floor = dice.below(4);
    // What is there already, in a few files.
    for _ in 0..dice.below(4) {
        let bytes = disk.size_on_disk(dice.below(total / 4));
        disk.take(bytes, 1, 0, 0).unwrap();
        disk.foreign_files.push(bytes);
    }
    disk
}

fn policy(site: &Site) -> FailurePolicy {
    let then = if site.one_in(2) {
        Fallback::Open
    } else {
        Fallback::Closed
    };
    match site.below(6) {
        0 => FailurePolicy::Open,
        1 | 2 => FailurePolicy::Closed,
        _ => FailurePolicy::Hold {
            at_most: Duration::from_millis(site.below(1500)),
            then,
        },
    }
}

/// Its probe lets life go on while it looks.
fn resource(site: &Arc<Site>, at: usize, policy: FailurePolicy, world: Weak<World>) -> Resource {
    let (floor, inode_floor) = {
        let disk = site.disk(at);
        (disk.floor, disk.inode_floor)
    };
    let (clock, site) = (site.clock.clone(), site.clone());
    let probe = move || match world.upgrade() {
        Some(world) => world.measure(at),
        None => Ok(site.disk(at).look(0)),
    };
    Resource::builder(format!("disk {at}"), probe)
        .floor(Floor::bytes(floor))
        .inode_floor(inode_floor)
        .on_probe_failure(policy)
        .max_age(Duration::from_millis(900))
        .near(Floor::bytes(MIB))
        .exit_margin(Floor::bytes(1000))
        .manual(clock)
        .build()
        .unwrap()
}

fn guard(site: &Arc<Site>, resources: &[Resource], books: &[Book]) -> Guard {
    let mut disks: Vec<_> = (0..resources.len()).filter(|_| site.below(3) > 0).collect();
    if disks.is_empty() {
        disks = vec![0];
    }
    if disks.len() > 1 {
        site.count("two disks");
        if site.one_in(2) {
            disks.reverse();
        }
    }
    let rules = Rules {
        maximum: if site.one_in(2) {
            u64::MAX
        } else {
            MIB + site.below(20 * MIB)
        },
        minimum: if site.one_in(3) { site.below(100_000) } else { 0 },
        buffer: write_buffer(site),
        require_length: site.one_in(10),
        report_only: site.fault == Fault::None && site.one_in(20),
    };
    let mut builder = StorageGuardLayer::builder()
        .max_body(rules.maximum)
        .minimum_charge(rules.minimum)
        .write_buffer(rules.buffer)
        .linger(Linger::default().connections(1000))
        .require_length(rules.require_length)
        .report_only(rules.report_only);
    for &at in &disks {
        if rules.report_only {
            site.disk(at).is_tainted = true;
        }
        builder = builder.resource(resources[at].clone());
    }
    // The bytes of a disk that counts blocks need room beside them; the default knows.
    builder = builder.size_model(SizeModel::default());
    for book in books {
        *book.is_tainted.lock().unwrap() |= rules.report_only;
        let key = TenantFrom::header(HeaderName::from_static("x-tenant"));
        builder = if book.is_shared {
            let everybody = |parts: &http::request::Parts| {
                let is_known = parts.headers.contains_key("x-tenant");
                is_known.then(|| "everybody".to_owned())
            };
            builder.tenant(book.ledger.clone(), everybody)
        } else {
            builder.tenant(book.ledger.clone(), key)
        };
    }
    let classifies = site.one_in(2);
    if classifies {
        builder = builder.classifier(by_copies);
    }
    let layer = builder.build().unwrap();
    let handler = Handler {
        site: site.clone(),
        disks: disks.clone().into(),
    };
    Guard {
        service: Mutex::new(layer.layer(handler)),
        layer,
        disks,
        classifies,
        rules: Mutex::new(rules),
    }
}

fn by_copies(parts: &Parts) -> Class {
    let copies = parts
        .headers
        .get(COPIES)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    copies.map_or_else(|| DefaultClassifier.classify(parts), Class::StoresBytes)
}

pub(crate) fn write_buffer(site: &Site) -> WriteBuffer {
    match site.below(5) {
        _ if site.fault == Fault::HandlersKeepTooMuch => WriteBuffer::Bytes(0),
        _ if site.fault == Fault::WritesGoOn => WriteBuffer::Whole,
        0 => WriteBuffer::Whole,
        1 => WriteBuffer::Bytes(0),
        2 | 3 => WriteBuffer::Bytes(site.below(4 * MIB)),
        _ => WriteBuffer::Bytes(8 * MIB),
    }
}

impl World {
    /// A probe looks; requests go on meanwhile.
    fn measure(&self, at: usize) -> Result<Reading, io::Error> {
        let site = &self.site;
        if site.is_quiet.load(Relaxed) {
            return Ok(site.disk(at).look(site.now()));
        }
        let hangs = site.one_in(25);
        if hangs {
            site.count("probe: hangs");
            site.say(|| format!("the probe of disk {at} hangs"));
        }
        self.meanwhile(match hangs {
            _ if self.habits.drips => 0,
            true => 10 + site.below(60),
            false => site.below(8),
        });
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
        if !self.habits.drips {
            self.meanwhile(site.below(8));
        }
        let mut disk = site.disk(at);
        if disk.fails {
            return Err(io::Error::other("a cable"));
        }
        disk.told(now);
        Ok(reading)
    }
}
