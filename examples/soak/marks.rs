//! What the process and the guard have while nothing is going on.

use std::{
    alloc::System,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tower_storage_guard::Resource;

use crate::site::{Site, TENANTS, tenant};

/// Tells a leak of a few bytes a request, which what the system counts does not show: there an allocator keeps pieces of
/// what it once had.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes that are allocated and not freed.
    pub(crate) heap: u64,
    pub(crate) rss: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    /// Of the server's runtime.
    pub(crate) tasks: u64,
    pub(crate) lingering: u64,
    pub(crate) resources: Vec<Held>,
    /// What tenants have reserved, by name.
    pub(crate) reserved: Vec<(String, u64)>,
}

/// What is held of a resource, and whether its account is what the reading says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) held: u64,
    pub(crate) unseen: u64,
    pub(crate) headroom: i64,
    /// The reading less the floor.
    pub(crate) room: i64,
}

/// Lingering connections, idle threads and leases take a second or two to come to rest; what has not moved for so many
/// looks is not going to.
const LOOKS: u32 = 8;
const BETWEEN: Duration = Duration::from_millis(700);
const REST: Duration = Duration::from_secs(30);

impl Mark {
    /// When nothing moves any more, or the time is up.
    pub(crate) fn at_rest(site: &Site, like: Option<&Self>) -> Self {
        let deadline = Instant::now() + REST;
        let mut before = Self::now(site);
        let mut unmoved = 0;
        loop {
            sleep(BETWEEN);
            let now = Self::now(site);
            unmoved = if now.without_memory() == before.without_memory() {
                unmoved + 1
            } else {
                0
            };
            let is_as_it_was = like.is_none_or(|like| now.without_memory() == like.without_memory());
            let is_right = unmoved > 0 && now.is_empty() && is_as_it_was;
            if is_right || unmoved == LOOKS || Instant::now() > deadline {
                return now;
            }
            before = now;
        }
    }

    fn now(site: &Site) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        let reserved = |number| {
            let name = tenant(number);
            let reserved = site.ledger.usage(&name).reserved;
            (name, reserved)
        };
        let allocator = ALLOCATOR.stats();
        Self {
            heap: (allocator.bytes_allocated - allocator.bytes_deallocated) as u64,
            rss: figure("VmRSS:") << 10,
            threads: figure("Threads:"),
            // Looking is one itself.
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64,
            tasks: site.runtime.metrics().num_alive_tasks() as u64,
            lingering: site.guard.report().lingering as u64,
            resources: [&site.disk, &site.memory].map(held).to_vec(),
            reserved: (0..TENANTS).map(reserved).collect(),
        }
    }

    /// Nothing is held, reserved or kept.
    pub(crate) fn is_empty(&self) -> bool {
        let is_free = |held: &Held| (held.held, held.unseen) == (0, 0) && held.headroom == held.room;
        self.lingering == 0 && self.resources.iter().all(is_free) && self.reserved.iter().all(|(_, bytes)| *bytes == 0)
    }

    fn without_memory(&self) -> Self {
        let mut mark = self.clone();
        (mark.heap, mark.rss) = (0, 0);
        // What is free changes with whatever else goes on.
        for held in &mut mark.resources {
            (held.headroom, held.room) = (held.headroom - held.room, 0);
        }
        mark
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "heap": self.heap,
            "rss": self.rss,
            "threads": self.threads,
            "descriptors": self.descriptors,
            "tasks": self.tasks,
            "lingering": self.lingering,
            "held": self.resources.iter().map(|held| (held.name.clone(), json!(held.held))).collect::<serde_json::Map<_, _>>(),
            "reserved": self.reserved.iter().map(|(_, bytes)| bytes).sum::<u64>(),
        })
    }
}

fn held(resource: &Resource) -> Held {
    // Twice: the second begins after all is closed.
    let _ = resource.sample_now();
    let report = resource.sample_now().unwrap_or_else(|_| resource.report());
    Held {
        name: resource.name().to_owned(),
        held: report.held,
        unseen: report.unseen,
        headroom: report.headroom,
        room: report.available as i64 - report.floor as i64,
    }
}
