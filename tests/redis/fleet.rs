//! Several nodes in one process that share a limit, and what they have really written, which no ledger is asked about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::FutureExt;
use tower_storage_guard::{Grant, Leasing, Ledger, Limit, Scan, test_util::ManualClock};

use crate::{node::patient, proxy::Proxy, redis_server::RedisServer};

pub(crate) const TENANT: &str = "acme";
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Bytes that are written, by whomever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth(Arc<AtomicU64>);

impl Truth {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(SeqCst)
    }

    pub(crate) fn write(&self, bytes: u64) -> u64 {
        self.0.fetch_add(bytes, SeqCst) + bytes
    }

    pub(crate) fn delete(&self, bytes: u64) {
        self.0.fetch_sub(bytes, SeqCst);
    }
}

/// A node: its ledger does nothing by itself and has a clock of its own, its messages pass a proxy.
pub(crate) struct Member {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) ledger: Ledger,
    pub(crate) grants: Vec<Grant>,
    clock: ManualClock,
}

pub(crate) struct Fleet {
    pub(crate) server: RedisServer,
    pub(crate) members: Vec<Member>,
    pub(crate) truth: Truth,
    pub(crate) limit: u64,
    leasing: fn(Leasing, &Truth) -> Leasing,
}

impl Fleet {
    /// Nodes that lease chunks of a hundredth of this limit. Their names are their numbers.
    pub(crate) fn new(server: RedisServer, nodes: usize, limit: u64, leasing: fn(Leasing, &Truth) -> Leasing) -> Self {
        let mut fleet = Self {
            server,
            members: Vec::new(),
            truth: Truth::default(),
            limit,
            leasing,
        };
        for number in 0..nodes {
            let member = fleet.start(number);
            fleet.members.push(member);
        }
        fleet
    }

    fn start(&self, number: usize) -> Member {
        self.start_at(number, None)
    }

    /// For whom it is this time, whatever the engine's clock says.
    fn start_at(&self, number: usize, now: Option<Duration>) -> Member {
        let proxy = Arc::new(Proxy::to(self.server.address()));
        let mut store = patient(&proxy.url()).build().expect("a URL");
        if let Some(now) = now {
            store.set_now(now);
        }
        let leasing = Leasing::new(store)
            .node(format!("node {number}"))
            .chunk(self.limit / 100);
        let clock = ManualClock::new();
        let ledger = Ledger::builder()
            .default_limit(Limit::bytes(self.limit))
            .leasing((self.leasing)(leasing, &self.truth))
            .manual(clock.clone())
            .build()
            .expect("valid settings");
        Member {
            proxy,
            ledger,
            grants: Vec::new(),
            clock,
        }
    }

    /// One more node, for whom it is ten minutes later: leases have ended, and who is gone is not forgotten yet.
    pub(crate) fn add_from_later(&mut self) {
        let later = SystemTime::now() + Duration::from_secs(600);
        let now = later.duration_since(UNIX_EPOCH).expect("after 1970");
        let member = self.start_at(self.members.len(), Some(now));
        self.members.push(member);
    }

    /// It is gone without a word, and starts again under its name. Of what it was about to write, so much was written.
    pub(crate) fn crash(&mut self, number: usize, mut written: impl FnMut(u64) -> u64) {
        let member = &mut self.members[number];
        for grant in member.grants.drain(..) {
            self.truth.write(written(grant.reserved()));
        }
        let member = self.start(number);
        // The old one is dropped, which tells nobody anything when its clock is a test's.
        self.members[number] = member;
    }

    /// It ends as it should, and starts again.
    pub(crate) fn restart(&mut self, number: usize) {
        self.members[number].grants.clear();
        self.members[number].ledger.close();
        let member = self.start(number);
        self.members[number] = member;
    }

    /// Written and reserved bytes.
    pub(crate) fn taken(&self) -> u64 {
        let grants = self.members.iter().flat_map(|member| &member.grants);
        self.truth.bytes() + grants.map(Grant::reserved).sum::<u64>()
    }

    /// Everybody tells what is new, gives back what lies idle, and hears of it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            for member in &mut self.members {
                member.beat();
            }
        }
    }

    /// Somebody measures what there is while nothing happens, and all nodes are back.
    pub(crate) fn measure(&mut self) {
        self.settle();
        for member in &mut self.members {
            // Whoever comes back counts what was leased under its name before as stored.
            if member.reserve(1) {
                member.grants.pop();
            }
        }
        self.settle();
        self.members[0].scan().reconcile(self.truth.bytes());
        self.settle();
    }

    /// Writes as much as can be written, in pieces of a thousandth of the limit, through all nodes in turn.
    pub(crate) fn fill(&mut self) {
        let piece = self.limit / 1000;
        let mut refusals = 0;
        let mut number = 0;
        while refusals < self.members.len() {
            number = (number + 1) % self.members.len();
            if self.members[number].reserve(piece) {
                refusals = 0;
                self.members[number].commit_last(piece, &self.truth);
            } else {
                refusals += 1;
                self.settle();
            }
        }
    }

    /// At least 99 % of the limit can be used, and no more than all.
    pub(crate) fn assert_fills(&mut self, context: &str) {
        self.settle();
        self.fill();
        let (written, limit) = (self.truth.bytes(), self.limit);
        assert!(written <= limit, "{written} of {limit} bytes are written: {context}");
        assert!(
            written >= limit / 100 * 99,
            "only {written} of {limit} bytes can be used: {context}"
        );
    }
}

impl Member {
    /// Tells whether it was granted.
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let mut asked = self.ledger.reserve(TENANT, bytes);
        for _ in 0..20 {
            match (&mut asked).now_or_never() {
                Some(Ok(grant)) => {
                    self.grants.push(grant);
                    return true;
                }
                Some(Err(_)) => return false,
                None => self.step(),
            }
        }
        panic!("nobody answers");
    }

    fn scan(&mut self) -> Scan {
        let mut scanning = self.ledger.scan(TENANT);
        for _ in 0..20 {
            match (&mut scanning).now_or_never() {
                Some(scan) => return scan.expect("it is known"),
                None => self.step(),
            }
        }
        panic!("nobody answers");
    }

    pub(crate) fn commit(&mut self, index: usize, written: u64, truth: &Truth) {
        let grant = self.grants.swap_remove(index);
        truth.write(written);
        grant.commit(written);
    }

    pub(crate) fn commit_last(&mut self, written: u64, truth: &Truth) {
        self.commit(self.grants.len() - 1, written, truth);
    }

    pub(crate) fn delete(&mut self, bytes: u64, truth: &Truth) {
        truth.delete(bytes);
        self.ledger.credit(TENANT, bytes);
    }

    /// What all have written, as far as this node knows.
    pub(crate) fn used(&self) -> u64 {
        self.ledger.usage(TENANT).used
    }

    /// One exchange; a store that fails is left alone for a while, and whoever waits does so for a second.
    pub(crate) fn step(&mut self) {
        if !self.ledger.step() {
            self.clock.advance(Duration::from_millis(300));
        }
    }

    pub(crate) fn beat(&mut self) {
        self.clock.advance(HEARTBEAT);
        for _ in 0..4 {
            self.step();
        }
    }
}
