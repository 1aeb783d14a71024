//! Memory, control groups, pressure and ballast: before saved trees, and before the real kernel.
//!
//! The latter needs the right to make control groups or to mount; a test without it says so and passes.
#![cfg(all(target_os = "linux", feature = "memory"))]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod ballast;
mod groups;
mod limits;
mod malformed;
mod oom;
mod pressure;
mod real_group;
mod support;
