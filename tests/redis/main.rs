//! `RedisStore` before a real redis-server, which each test starts for itself.
//!
//! Without a redis-server every test says so and passes.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod broken_records;
mod chaos;
mod contract;
mod engine_errors;
mod engine_faults;
mod equivalence;
mod failover;
mod large_figures;
mod lost_and_repeated;
mod node_faults;
mod odd_names;
mod refused_engines;
mod safeguards;
mod threads;

#[path = "../support/dice.rs"]
mod dice;
mod fleet;
#[path = "../support/ledger_contract.rs"]
mod ledger_contract;
mod node;
mod process;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/redis_server.rs"]
mod redis_server;
