//! Several nodes, one store, and everything that can happen to them, at random. The oracle is what was really written,
//! counted outside the ledgers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use std::time::Duration;

use tower_storage_guard::{
    Grant, Leasing, Ledger, Limit, Reserving,
    test_util::{FakeStore, ManualClock, StoreSnapshot},
};

const LIMIT: u64 = 100_000;
const CHUNK: u64 = 8_000;
const LARGEST: u64 = 3_000;
const NODES: usize = 3;
/// So many uploads of a node are under way at most.
const CROWD: usize = 6;

struct World {
    random: u64,
    clock: ManualClock,
    store: FakeStore,
    nodes: Vec<Node>,
    /// What is on the disks of all nodes.
    written: Arc<AtomicU64>,
    most: u64,
    snapshot: Option<StoreSnapshot>,
    measures: bool,
}

struct Node {
    name: String,
    ledger: Ledger,
    waiting: Vec<(Reserving, u64)>,
    uploads: Vec<(Grant, u64)>,
    /// Files on this node's disk.
    files: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Faults {
    /// Lost replies, failures, late repetitions, kills.
    Usual,
    /// The engine returns to an older state as well.
    RollsBack,
    /// It loses everything, and usage is measured.
    Loses,
}

impl World {
    fn new(seed: u64, measures: bool) -> Self {
        let mut world = Self {
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            clock: ManualClock::new(),
            store: FakeStore::new(),
            nodes: Vec::new(),
            written: Arc::default(),
            most: 0,
            snapshot: None,
            measures,
        };
        for number in 0..NODES {
            let name = format!("node {number}");
            let ledger = world.ledger(&name);
            world.nodes.push(Node {
                name,
                ledger,
                waiting: Vec::new(),
                uploads: Vec::new(),
                files: Vec::new(),
            });
        }
        world
    }

    fn ledger(&self, name: &str) -> Ledger {
        let mut leasing = Leasing::new(self.store.with_clock(&self.clock))
            .node(name)
            .chunk(CHUNK)
            .ttl(Duration::from_secs(20));
        if self.measures {
            let written = self.written.clone();
            leasing = leasing.measure_missing(move |_: &str| Ok::<_, std::io::Error>(written.load(Relaxed)));
        }
        Ledger::builder()
            .default_limit(Limit::bytes(LIMIT))
            .leasing(leasing)
            .manual(self.clock.clone())
            .build()
            .unwrap()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn act(&mut self, faults: Faults) {
        let node = self.below(NODES as u64) as usize;
        match self.below(100) {
            0..=24 => self.begin(node),
            25..=49 => self.go_on(node),
            50..=54 => self.delete(node),
            55..=79 => {
                self.nodes[node].ledger.step();
            }
            80..=87 => {
                let by = self.below(3000);
                self.clock.advance(Duration::from_millis(by));
            }
            88..=89 => self.store.fail("out of order"),
            90..=92 => self.store.recover(),
            93..=94 => {
                let calls = 1 + self.below(2) as usize;
                self.store.lose_replies(calls);
            }
            95..=96 => self.repeat(),
            97 if faults == Faults::Usual => self.kill(node),
            97 if faults == Faults::RollsBack => self.snapshot = Some(self.store.snapshot()),
            98 if faults == Faults::RollsBack && self.below(3) == 0 => {
                if let Some(snapshot) = self.snapshot.take() {
                    self.store.restore(&snapshot);
                }
            }
            98 if faults == Faults::Loses && self.below(10) == 0 => self.store.lose_records(),
            _ => {}
        }
        self.most = self.most.max(self.written.load(Relaxed));
    }

    fn begin(&mut self, node: usize) {
        let bytes = 1 + self.below(LARGEST);
        let node = &mut self.nodes[node];
        if node.waiting.len() + node.uploads.len() < CROWD {
            node.waiting.push((node.ledger.reserve("tenant", bytes), bytes));
        }
    }

    /// An upload is finished, or given up; those that waited begin.
    fn go_on(&mut self, node: usize) {
        let (chance, kept) = (self.below(4), self.below(LARGEST));
        let node = &mut self.nodes[node];
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for (mut reserving, bytes) in std::mem::take(&mut node.waiting) {
            match std::pin::Pin::new(&mut reserving).poll(&mut context) {
                std::task::Poll::Ready(Ok(grant)) => node.uploads.push((grant, bytes)),
                std::task::Poll::Ready(Err(_)) => {}
                // One in four gives up waiting.
                std::task::Poll::Pending if chance == 0 => {}
                std::task::Poll::Pending => node.waiting.push((reserving, bytes)),
            }
        }
        if node.uploads.is_empty() {
            return;
        }
        let (grant, bytes) = node.uploads.swap_remove(0);
        if chance > 0 {
            let stored = if chance == 1 { kept.min(bytes) } else { bytes };
            self.written.fetch_add(stored, Relaxed);
            node.files.push(stored);
            grant.commit(stored);
        }
    }

    fn delete(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(bytes) = node.files.pop() {
            self.written.fetch_sub(bytes, Relaxed);
            node.ledger.credit("tenant", bytes);
        }
    }

    /// An old message arrives late, or again.
    fn repeat(&mut self) {
        self.store.keep_requests();
        let node = self.below(NODES as u64) as usize;
        self.nodes[node].ledger.step();
        let old = self.store.take_request();
        for node in &self.nodes {
            node.ledger.step();
        }
        if let Some(old) = old {
            self.store.deliver(&old);
        }
    }

    /// A process dies in mid-upload, and comes back under its name. What it was writing may be on its disk.
    fn kill(&mut self, node: usize) {
        let (name, uploads) = {
            let node = &mut self.nodes[node];
            node.waiting.clear();
            (node.name.clone(), std::mem::take(&mut node.uploads))
        };
        // A new start is a later one also by the clock of the machine.
        let ledger = self.ledger(&name);
        for (_, bytes) in &uploads {
            if self.below(2) == 0 {
                let part = self.below(bytes + 1);
                self.written.fetch_add(part, Relaxed);
                self.nodes[node].files.push(part);
            }
        }
        let node = &mut self.nodes[node];
        node.ledger = ledger;
        // The dead do not tell what they gave back.
        std::mem::forget(uploads);
    }

    /// All works again, nobody is under way, and everybody looks at his own disk.
    fn heal(&mut self) {
        self.store.recover();
        self.store.lose_replies(0);
        for node in &mut self.nodes {
            node.waiting.clear();
            node.uploads.clear();
        }
        // Two lives of a lease.
        for _ in 0..20 {
            self.clock.advance(Duration::from_secs(3));
            self.step_all();
        }
        // One look at all disks together, where records begin with such a look.
        let scans = if self.measures { 1 } else { NODES };
        for number in 0..scans {
            let node = &self.nodes[number];
            let scan = node.ledger.scan("tenant");
            self.step_all();
            let scan = scan.wait().expect("the store works");
            if self.measures {
                scan.reconcile(self.written.load(Relaxed));
            } else {
                scan.reconcile_here(node.files.iter().sum());
            }
        }
        for _ in 0..10 {
            self.clock.advance(Duration::from_secs(6));
            self.step_all();
        }
    }

    fn step_all(&self) {
        for _ in 0..4 {
            for node in &self.nodes {
                node.ledger.step();
            }
        }
    }

    /// How much of the limit can be filled now, through whichever node.
    fn fill(&mut self) -> u64 {
        let mut grants = Vec::new();
        let mut sum = 0;
        for _ in 0..3 {
            for node in &self.nodes {
                loop {
                    let asking = node.ledger.reserve("tenant", 250);
                    node.ledger.step();
                    node.ledger.step();
                    let Ok(grant) = asking.wait() else { break };
                    sum += grant.reserved();
                    grants.push(grant);
                }
            }
            for _ in 0..4 {
                self.clock.advance(Duration::from_secs(6));
                self.step_all();
            }
        }
        sum
    }
}

fn run(faults: Faults, allowed: u64, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut world = World::new(seed, faults == Faults::Loses);
        for _ in 0..600 {
            world.act(faults);
        }
        assert!(
            world.most <= LIMIT + allowed,
            "seed {seed}: {} of {LIMIT} bytes were written",
            world.most
        );
        world.heal();
        let written = world.written.load(Relaxed);
        let filled = world.fill();
        assert!(
            written + filled <= LIMIT.max(written),
            "seed {seed}: {written} + {filled} after healing"
        );
        let usable = LIMIT.saturating_sub(written);
        assert!(
            filled * 100 >= usable * 99 || usable - filled < 500,
            "seed {seed}: {filled} of {usable} can be used after healing: {:?}",
            world.store.record("tenant")
        );
    }
}

#[test]
fn nothing_is_given_out_twice_and_all_can_be_used() {
    run(Faults::Usual, 0, 0..400);
}

#[test]
fn an_engine_that_forgets_costs_at_most_what_it_forgot() {
    let each = CHUNK + CROWD as u64 * LARGEST;
    run(Faults::RollsBack, NODES as u64 * each, 1000..1300);
}

#[test]
fn an_engine_that_loses_everything_is_told_again_by_measuring() {
    // What was reserved elsewhere when it was lost is told with the next heartbeat.
    let each = CHUNK + CROWD as u64 * LARGEST;
    run(Faults::Loses, NODES as u64 * each, 2000..2300);
}
