//! The ledger's file: what it answers, what it keeps, and what it says when it cannot.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[cfg(target_os = "linux")]
#[path = "../support/volume.rs"]
mod volume;

#[path = "../support/ledger_contract.rs"]
mod ledger_contract;

mod aborted;
mod as_the_record_says;
mod contract;
mod damaged;
#[cfg(target_os = "linux")]
mod full_disk;
mod refused;
mod support;
