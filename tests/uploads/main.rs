//! The example `uploads`, used as a user would: over HTTP, with curl, on a small disk.

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

mod command_line;
mod files;
mod leftovers;
mod limits;
mod pages;
mod reload;
mod restarts;
mod room;
mod tenants;

mod answers;
#[path = "../support/browser.rs"]
mod browser;
mod curl;
#[path = "../support/redis_server.rs"]
mod redis_server;
mod server;
mod site;
#[path = "../support/volume.rs"]
mod volume;
