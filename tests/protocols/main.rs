//! Refusals in the words of protocols on top of HTTP, as real clients read them over real sockets.

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

#[cfg(feature = "grpc-details")]
mod details;
mod grpc;
mod grpc_example;
mod grpcio;
mod hyper_example;
mod layers;
mod quota;
mod web;
mod webdav;

mod curl;
mod example;
mod uploads;
#[path = "../support/volume.rs"]
mod volume;

const MIB: u64 = 1 << 20;

/// A tmpfs of 16 MiB. `None` where that cannot be made.
fn small_disk() -> Option<volume::Volume> {
    volume::Volume::tmpfs(16 * MIB, 1000)
        .map_err(|skip| println!("{skip}"))
        .ok()
}
