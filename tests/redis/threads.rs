//! Ledgers as they are in a service: with threads of their own, requests from several threads, and an engine in trouble.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tower_storage_guard::{Leasing, Ledger, Limit};

use crate::{
    dice::Dice,
    fleet::{TENANT, Truth},
    node::impatient,
    proxy::Proxy,
    redis_server::RedisServer,
};

const LIMIT: u64 = 1_000_000;
const NODES: usize = 3;
const CLIENTS: u64 = 2;
/// Of each client.
const REQUESTS: u64 = 400;

struct Service {
    server: Mutex<RedisServer>,
    nodes: Vec<(Proxy, Ledger)>,
    truth: Truth,
    requests: AtomicU64,
    granted: AtomicU64,
}

impl Service {
    fn start(settings: &[&str]) -> Option<Self> {
        let server = RedisServer::with(settings)?;
        let nodes = (0..NODES)
            .map(|number| {
                let proxy = Proxy::to(server.address());
                let leasing = Leasing::new(impatient(&proxy.url()).build().unwrap())
                    .node(format!("node {number}"))
                    .chunk(10_000)
                    .ttl(Duration::from_millis(400));
                let ledger = Ledger::builder().default_limit(Limit::bytes(LIMIT)).leasing(leasing);
                (proxy, ledger.build().unwrap())
            })
            .collect();
        Some(Self {
            server: Mutex::new(server),
            nodes,
            truth: Truth::default(),
            requests: AtomicU64::new(0),
            granted: AtomicU64::new(0),
        })
    }

    /// Clients write and delete; whoever makes a request with a certain number first sees to it that something fails.
    fn run(&self, trouble: impl Fn(&Self, u64) + Sync) {
        thread::scope(|scope| {
            for client in 0..NODES as u64 * CLIENTS {
                let trouble = &trouble;
                scope.spawn(move || {
                    let (_, ledger) = &self.nodes[(client % NODES as u64) as usize];
                    let mut dice = Dice::new(client);
                    for _ in 0..REQUESTS {
                        trouble(self, self.requests.fetch_add(1, SeqCst));
                        self.request(ledger, &mut dice);
                    }
                });
            }
        });
        let granted = self.granted.load(SeqCst);
        assert!(
            granted > REQUESTS,
            "only {granted} requests were granted: this tells nothing"
        );
    }

    fn request(&self, ledger: &Ledger, dice: &mut Dice) {
        let bytes = 1 + dice.below(20_000);
        if let Ok(grant) = ledger.reserve(TENANT, bytes).wait() {
            self.granted.fetch_add(1, SeqCst);
            if dice.one_in(8) {
                return;
            }
            self.write(bytes);
            grant.commit(bytes);
        } else {
            let bytes = dice.below(40_000).min(self.truth.bytes() / 2);
            self.truth.delete(bytes);
            ledger.credit(TENANT, bytes);
        }
    }

    fn write(&self, bytes: u64) {
        let written = self.truth.write(bytes);
        assert!(written <= LIMIT, "{written} of {LIMIT} bytes are written");
    }

    fn fill(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut number = 0;
        while self.truth.bytes() < LIMIT / 100 * 99 {
            let written = self.truth.bytes();
            assert!(Instant::now() < deadline, "only {written} of {LIMIT} bytes can be used");
            number = (number + 1) % NODES;
            if let Ok(grant) = self.nodes[number].1.reserve(TENANT, 1000).wait() {
                self.write(1000);
                grant.commit(1000);
            }
        }
    }
}

#[test]
fn connections_that_break() {
    let Some(service) = Service::start(&[]) else { return };
    service.run(|service, number| {
        let (proxy, _) = &service.nodes[(number % NODES as u64) as usize];
        match number % 50 {
            10 => proxy.cut(),
            20 => proxy.half_close(),
            30 => service.server.lock().unwrap().command(&["SCRIPT", "FLUSH"]),
            40 => service
                .server
                .lock()
                .unwrap()
                .command(&["CLIENT", "KILL", "TYPE", "normal"]),
            _ => {}
        }
    });
    service.fill();
}

#[test]
fn an_engine_that_is_killed() {
    let Some(service) = Service::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    service.run(|service, number| {
        if number % 400 == 100 {
            service.server.lock().unwrap().restart();
        }
    });
    service.fill();
}

#[test]
fn an_engine_that_stands_still() {
    let Some(service) = Service::start(&[]) else { return };
    service.run(|service, number| match number % 1000 {
        200 => service.server.lock().unwrap().freeze(),
        220 => service.server.lock().unwrap().thaw(),
        600 => service
            .server
            .lock()
            .unwrap()
            .command(&["CLIENT", "PAUSE", "1000000", "WRITE"]),
        620 => service.server.lock().unwrap().command(&["CLIENT", "UNPAUSE"]),
        _ => {}
    });
    // Whoever was to begin trouble may have come after whoever was to end it.
    let server = service.server.lock().unwrap();
    server.thaw();
    server.command::<()>(&["CLIENT", "UNPAUSE"]);
    drop(server);
    service.fill();
}
