//! Ledgers as they are in a service: with threads of their own, requests from several threads, and an engine in trouble.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tower_storage_guard::{DeniedKind, Leasing, Ledger, Limit};

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
/// To each client.
const GRANTS: u64 = 300;

struct Service {
    server: Mutex<RedisServer>,
    nodes: Vec<(Proxy, Ledger)>,
    truth: Truth,
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
            granted: AtomicU64::new(0),
        })
    }

    /// Clients write and delete until each has been granted enough. Trouble comes with certain grants and with denials.
    fn run(&self, on_grant: impl Fn(&Self, u64) + Sync, on_denial: impl Fn(&Self) + Sync) {
        let deadline = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            for client in 0..NODES as u64 * CLIENTS {
                let (on_grant, on_denial) = (&on_grant, &on_denial);
                scope.spawn(move || {
                    let (_, ledger) = &self.nodes[(client % NODES as u64) as usize];
                    let mut dice = Dice::new(client);
                    let mut granted = 0;
                    while granted < GRANTS {
                        assert!(
                            Instant::now() < deadline,
                            "client {client} was granted {granted} requests only"
                        );
                        if self.request(ledger, &mut dice) {
                            granted += 1;
                            on_grant(self, self.granted.fetch_add(1, SeqCst));
                        } else {
                            on_denial(self);
                        }
                    }
                });
            }
        });
    }

    /// Tells whether it was granted.
    fn request(&self, ledger: &Ledger, dice: &mut Dice) -> bool {
        let bytes = 1 + dice.below(20_000);
        match ledger.reserve(TENANT, bytes).wait() {
            Ok(grant) if dice.one_in(8) => drop(grant),
            Ok(grant) => {
                self.write(bytes);
                grant.commit(bytes);
            }
            Err(denied) => {
                if denied.kind() == DeniedKind::Quota {
                    let bytes = dice.below(40_000).min(self.truth.bytes() / 8);
                    self.truth.delete(bytes);
                    ledger.credit(TENANT, bytes);
                }
                return false;
            }
        }
        true
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
    let trouble = |service: &Service, number: u64| {
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
    };
    service.run(trouble, |_| {});
    service.fill();
}

#[test]
fn an_engine_that_is_killed() {
    let Some(service) = Service::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let trouble = |service: &Service, number: u64| {
        if number % 300 == 100 {
            service.server.lock().unwrap().restart();
        }
    };
    service.run(trouble, |_| {});
    service.fill();
}

#[test]
fn an_engine_that_stands_still() {
    let Some(service) = Service::start(&[]) else { return };
    let trouble = |service: &Service, number: u64| match number % 600 {
        200 => service.server.lock().unwrap().freeze(),
        500 => service
            .server
            .lock()
            .unwrap()
            .command(&["CLIENT", "PAUSE", "1000000", "WRITE"]),
        _ => {}
    };
    let end = |service: &Service| {
        let server = service.server.lock().unwrap();
        server.thaw();
        server.command::<()>(&["CLIENT", "UNPAUSE"]);
    };
    // Until somebody has waited in vain.
    service.run(trouble, end);
    end(&service);
    service.fill();
}
