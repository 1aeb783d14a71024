//! An hour's worth of mixed traffic in two minutes, with all that can go wrong around it: `cargo run --release --example soak`.
//!
//! A server behind the guard, on a small disk of its own, and clients of all kinds in one process. Meanwhile the disk is
//! filled and emptied from outside, Redis is killed and started again, the disk stops answering, settings change. At the
//! end a report tells what was promised and whether it held; the exit code is 1 if something did not.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever started it"
)]
#![cfg_attr(
    unix,
    allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "it is a test, though a long one"
    )
)]

#[cfg(unix)]
mod body;
#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod connection;
#[cfg(unix)]
#[path = "../../tests/fleet/content.rs"]
mod content;
#[cfg(unix)]
mod disturbances;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod marks;
#[cfg(unix)]
mod options;
#[cfg(unix)]
mod probe;
#[cfg(unix)]
#[path = "../../tests/support/redis_server.rs"]
mod redis_server;
#[cfg(unix)]
mod report;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod site;
#[cfg(unix)]
#[allow(dead_code, reason = "`uploads` needs the rest of it")]
#[path = "../uploads/store.rs"]
mod store;
#[cfg(unix)]
mod tally;
#[cfg(unix)]
#[allow(dead_code, reason = "`uploads` needs the rest of it")]
#[path = "../uploads/turns.rs"]
mod turns;
#[cfg(unix)]
#[path = "../../tests/support/volume.rs"]
mod volume;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    run::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("the soak mounts a disk of its own, which it can do on Unix only");
    std::process::exit(2);
}
