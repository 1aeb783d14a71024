//! Two upload servers and one Redis, as processes of their own, under load and while some of them are killed.
//!
//! What is stored is counted on the disks, not by those who are tested. `FLEET_STEPS` makes the run longer, and
//! `FLEET_SEED` repeats its choices.

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

mod chaos;
mod client;
mod content;
mod fill;
mod host;
mod sampler;
mod uploader;

#[path = "../support/redis_server.rs"]
mod redis_server;
#[allow(dead_code, reason = "other tests need the rest of it")]
#[path = "../uploads/server.rs"]
mod server;
mod site;
