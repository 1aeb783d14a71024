//! How a world is made from its seed: disks, resources, ledgers and layers.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use http::{HeaderName, request::Parts};
use tower::Layer;
use tower_storage_guard::{
    Class, Classifier, DefaultClassifier, FailurePolicy, Fallback, Floor, LeaseStore, Leasing, Ledger, Limit, Resource,
    SizeModel, StorageGuardLayer, TenantFrom, WriteBuffer, test_util::FakeStore,
};

use crate::{
    bodies::linger,
    dice::Dice,
    disk::Disk,
    draw::COPIED_BYTES,
    handler::Handler,
    plan::TENANTS,
    site::{Fault, Site},
    world::{Book, Guard, MIB, ORGANISATION, Rules, World},
};

pub(crate) fn disk(dice: &mut Dice, fault: Fault) -> Disk {
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

pub(crate) fn policy(site: &Site) -> FailurePolicy {
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
pub(crate) fn resource(site: &Arc<Site>, at: usize, policy: FailurePolicy, world: Weak<World>) -> Resource {
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

pub(crate) fn books(site: &Site) -> Vec<Book> {
    let mut books = vec![book(site, false)];
    if site.one_in(3) {
        site.count("charge of two ledgers");
        books.push(book(site, true));
        if site.one_in(2) {
            books.reverse();
        }
    }
    books
}

fn book(site: &Site, is_shared: bool) -> Book {
    let limit = (1 + site.below(24)) * MIB + site.below(1000);
    let has_store = site.fault == Fault::StoreAllowsMore || site.one_in(2);
    let store = (!is_shared && has_store).then(|| FakeStore::new().with_clock(&site.clock));
    let mut builder = Ledger::builder()
        .name(if is_shared { "organisation" } else { "tenants" })
        .default_limit(Limit::bytes(limit))
        .manual(site.clock.clone());
    if let Some(mut store) = store.clone() {
        if site.fault == Fault::StoreAllowsMore {
            let allowed = Limit::bytes(limit + MIB);
            TENANTS
                .iter()
                .for_each(|tenant| store.set_limit(tenant, Some(allowed)).unwrap());
        }
        let chunk = site.below(2) * (site.below(4) * MIB);
        builder = builder.leasing(Leasing::new(store).node("here").chunk(chunk));
    }
    Book {
        ledger: builder.build().unwrap(),
        store,
        is_shared,
        limits: Mutex::new([limit; 3]),
        most: Mutex::new([limit; 3]),
        is_tainted: Mutex::new(false),
    }
}

pub(crate) fn guard(site: &Arc<Site>, resources: &[Resource], books: &[Book]) -> Guard {
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
        classifies: site.fault == Fault::CopiesExceedTheirClaim || site.one_in(2),
        exposes: [Fault::HandlesAreDroppedEarly, Fault::HandlesAreForgotten].contains(&site.fault) || site.one_in(2),
        report_only: site.fault == Fault::None && site.one_in(20),
    };
    let mut builder = StorageGuardLayer::builder()
        .max_body(rules.maximum)
        .minimum_charge(rules.minimum)
        .write_buffer(rules.buffer)
        .require_length(rules.require_length)
        .expose_reservation(rules.exposes)
        .linger(linger(site.fault))
        .report_only(rules.report_only);
    if rules.classifies {
        builder = builder.classifier(classify);
    }
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
            let organisation = |parts: &Parts| {
                let is_known = parts.headers.contains_key("x-tenant");
                is_known.then(|| ORGANISATION.to_owned())
            };
            builder.tenant(book.ledger.clone(), organisation)
        } else {
            builder.tenant(book.ledger.clone(), key)
        };
    }
    let layer = builder.build().unwrap();
    let rules = Arc::new(Mutex::new(rules));
    let handler = Handler {
        site: site.clone(),
        disks: disks.clone().into(),
        rules: rules.clone(),
    };
    Guard {
        service: Mutex::new(layer.layer(handler)),
        layer,
        disks,
        rules,
    }
}

/// Knows how many bytes a copy stores.
fn classify(parts: &Parts) -> Class {
    let bytes = parts
        .headers
        .get(COPIED_BYTES)
        .filter(|_| parts.method.as_str() == "COPY");
    match bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok()) {
        Some(bytes) => Class::StoresBytes(bytes),
        None => DefaultClassifier.classify(parts),
    }
}

pub(crate) fn write_buffer(site: &Site) -> WriteBuffer {
    match site.below(6) {
        _ if site.fault == Fault::HandlersKeepTooMuch => WriteBuffer::Bytes(0),
        _ if site.fault == Fault::HandlesAreDroppedEarly => WriteBuffer::Whole,
        0 | 1 => WriteBuffer::Whole,
        2 => WriteBuffer::Bytes(0),
        3 | 4 => WriteBuffer::Bytes(site.below(4 * MIB)),
        _ => WriteBuffer::Bytes(8 * MIB),
    }
}
