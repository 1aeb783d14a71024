//! The guard before real file systems that really get full.
//!
//! Needs the right to mount; without it every test says so and passes.
#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod beside_a_large_upload;
mod concurrent_writers;
mod external_writer;
mod fragmented;
mod inodes;
mod late_failure;
mod missing_directory;
mod missing_mount;
mod read_only;

mod store;
mod upload;
#[path = "../support/volume.rs"]
mod volume;
