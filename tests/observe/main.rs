//! Seeing how things stand: over real sockets, in a real browser, by a real checker of Prometheus' format.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod config;
mod health;
mod log;
mod metrics;
mod page;
mod scrape;
mod tenants;

#[path = "../support/browser.rs"]
mod browser;
mod support;
