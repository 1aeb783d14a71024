//! What a refused client sees, over real sockets. `tests/clients/run` does the same with well-known programs and writes
//! docs/clients.md.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod bounds;
mod crowd;
mod curl;
mod expect;
mod http2;
mod large_bodies;
mod late;
mod raw;
#[allow(dead_code, reason = "other tests need the rest of it")]
mod server;
mod small_bodies;
mod without_time;
