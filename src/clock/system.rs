use std::{
    fmt,
    time::{Duration, Instant},
};

/// Tells the time since an origin of its own. Only samplers, the watchdog and reports ask it, never a request.
pub(crate) trait Clock: fmt::Debug + Send + Sync {
    fn now(&self) -> Duration;
}

/// The monotonic clock of the machine.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
