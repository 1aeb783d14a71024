#[cfg(storage_guard_loom)]
pub(super) mod models;

use std::sync::PoisonError;

use crate::{
    capacity::{BuildError, WriteBuffer},
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
            fence,
        },
        hint,
    },
};

/// What a layer asks of every request, whatever its resources say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest body, in bytes.
    pub(crate) maximum: u64,
    /// What something without a length of its own is taken for, in bytes.
    pub(crate) minimum: u64,
    pub(crate) require_length: bool,
    pub(crate) write_buffer: WriteBuffer,
    /// Nothing is refused, but all is reported.
    pub(crate) report_only: bool,
}

impl Limits {
    pub(crate) fn max_body(&self) -> Option<u64> {
        (self.maximum < u64::MAX).then_some(self.maximum)
    }

    /// `has_use` without a largest body: there is a resource, or the layer is switched off.
    pub(crate) fn check(&self, has_use: bool) -> Result<(), BuildError> {
        if self.max_body().is_none() && !has_use {
            return Err(BuildError::invalid(
                "resource",
                "none",
                "add a resource or a ledger to guard, or set max_body, or build with enabled(false)",
            ));
        }
        if self.minimum > self.maximum {
            return Err(BuildError::invalid(
                "minimum_charge",
                self.minimum.to_string(),
                "give a minimum charge that is not above max_body",
            ));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            maximum: u64::MAX,
            minimum: 0,
            require_length: false,
            write_buffer: WriteBuffer::default(),
            report_only: false,
        }
    }
}

/// Limits that may be changed while requests read them. A request sees the old ones or the new ones, never some of each:
/// whoever reads during a change reads again.
#[derive(Debug)]
pub(crate) struct LiveLimits {
    /// Odd during a change.
    version: AtomicU64,
    maximum: AtomicU64,
    minimum: AtomicU64,
    /// [`u64::MAX`] means whole bodies.
    write_buffer: AtomicU64,
    require_length: AtomicBool,
    report_only: AtomicBool,
    changing: Mutex<()>,
}

impl LiveLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        let live = Self {
            version: AtomicU64::new(0),
            maximum: AtomicU64::new(0),
            minimum: AtomicU64::new(0),
            write_buffer: AtomicU64::new(0),
            require_length: AtomicBool::new(false),
            report_only: AtomicBool::new(false),
            changing: Mutex::new(()),
        };
        live.store(limits);
        live
    }

    #[inline]
    pub(crate) fn load(&self) -> Limits {
        loop {
            let before = self.version.load(Acquire);
            let limits = Limits {
                maximum: self.maximum.load(Relaxed),
                minimum: self.minimum.load(Relaxed),
                require_length: self.require_length.load(Relaxed),
                write_buffer: match self.write_buffer.load(Relaxed) {
                    u64::MAX => WriteBuffer::Whole,
                    bytes => WriteBuffer::Bytes(bytes),
                },
                report_only: self.report_only.load(Relaxed),
            };
            // The figures are read before the version is looked at again.
            fence(Acquire);
            if before & 1 == 0 && self.version.load(Relaxed) == before {
                return limits;
            }
            hint::spin_loop();
        }
    }

    /// The largest body alone.
    #[inline]
    pub(crate) fn maximum(&self) -> u64 {
        self.maximum.load(Relaxed)
    }

    pub(crate) fn store(&self, limits: Limits) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        // The version is odd before the first figure changes.
        fence(Release);
        self.maximum.store(limits.maximum, Relaxed);
        self.minimum.store(limits.minimum, Relaxed);
        let write_buffer = match limits.write_buffer {
            WriteBuffer::Bytes(bytes) => bytes,
            WriteBuffer::Whole => u64::MAX,
        };
        self.write_buffer.store(write_buffer, Relaxed);
        self.require_length.store(limits.require_length, Relaxed);
        self.report_only.store(limits.report_only, Relaxed);
        self.version.store(version.wrapping_add(2), Release);
    }
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn limits(n: u64) -> Limits {
        Limits {
            maximum: n,
            minimum: n,
            require_length: n % 2 == 0,
            write_buffer: WriteBuffer::Bytes(n),
            report_only: n % 2 == 0,
        }
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let whole = Limits {
            write_buffer: WriteBuffer::Whole,
            ..limits(3)
        };
        for stored in [Limits::default(), limits(1), limits(2), whole] {
            let live = LiveLimits::default();
            live.store(stored);
            assert_eq!(live.load(), stored);
        }
    }

    #[test]
    fn nobody_sees_some_old_and_some_new() {
        let live = &LiveLimits::new(limits(0));
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    while !done.load(Relaxed) {
                        let seen = live.load();
                        assert_eq!(seen, limits(seen.maximum));
                    }
                });
            }
            for n in 0..200_000 {
                live.store(limits(n));
            }
            done.store(true, Relaxed);
        });
    }
}
