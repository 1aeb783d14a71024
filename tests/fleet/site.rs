//! How long to wait for other processes.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that happens by itself.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        pause();
    }
}

/// Before another look.
pub(super) fn pause() {
    thread::sleep(Duration::from_millis(20));
}
