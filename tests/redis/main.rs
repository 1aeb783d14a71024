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

mod equivalence;

#[path = "../support/redis_server.rs"]
mod redis_server;
