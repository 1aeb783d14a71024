//! Clients that mean harm, over real sockets: what each gets, what the handler sees of it, and that nothing is left.
//!
//! The table in docs/threat-model.md has the same rows; `table` compares them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod chunks;
mod flood;
mod heads;
mod hints;
mod lengths;
mod names;
mod reflection;
mod slow;
mod streams;
mod table;

mod case;
mod frames;
#[allow(dead_code, reason = "other tests need the rest of it")]
#[path = "../clients/raw.rs"]
mod raw;
#[allow(dead_code, reason = "other tests need the rest of it")]
#[path = "../clients/server.rs"]
mod server;
