#[cfg(test)]
mod tests;

use std::sync::PoisonError;

use crate::{
    capacity::{BuildError, Claim, Closing, Reason, WriteBuffer},
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// What a layer asks of every request, whatever its resources say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest body, in bytes.
    pub(crate) maximum: u64,
    /// What a request counts at least, in bytes.
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

/// Limits that may change while requests go on. A request sees the old ones or the new ones, never some of each: it reads
/// a [copy](LimitsCopy), which is renewed when the version has changed.
#[derive(Debug)]
pub(crate) struct LiveLimits {
    version: AtomicU64,
    /// These are also read one by one.
    maximum: AtomicU64,
    minimum: AtomicU64,
    require_length: AtomicBool,
    report_only: AtomicBool,
    current: Mutex<Limits>,
}

impl LiveLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            // Not that of a copy that was never renewed.
            version: AtomicU64::new(1),
            maximum: AtomicU64::new(limits.maximum),
            minimum: AtomicU64::new(limits.minimum),
            require_length: AtomicBool::new(limits.require_length),
            report_only: AtomicBool::new(limits.report_only),
            current: Mutex::new(limits),
        }
    }

    pub(crate) fn load(&self) -> Limits {
        *self.lock()
    }

    #[inline]
    pub(crate) fn maximum(&self) -> u64 {
        self.maximum.load(Relaxed)
    }

    #[inline]
    pub(super) fn minimum(&self) -> u64 {
        self.minimum.load(Relaxed)
    }

    /// Why a claim that counts so many bytes is never admitted, if so.
    #[inline]
    pub(super) fn excludes(&self, claim: &Claim, bytes: u64) -> Option<Reason> {
        if bytes > self.maximum() {
            Some(Reason::TooLarge)
        } else if claim.may_grow && self.require_length.load(Relaxed) {
            Some(Reason::LengthRequired)
        } else {
            None
        }
    }

    pub(crate) fn report_only(&self) -> bool {
        self.report_only.load(Relaxed)
    }

    pub(crate) fn store(&self, limits: Limits) {
        let mut current = self.lock();
        *current = limits;
        self.maximum.store(limits.maximum, Relaxed);
        self.minimum.store(limits.minimum, Relaxed);
        self.require_length.store(limits.require_length, Relaxed);
        self.report_only.store(limits.report_only, Relaxed);
        self.version.fetch_add(1, Release);
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// A copy of the limits for one request at a time. Only the request's own admission writes it.
#[derive(Debug, Default)]
pub(super) struct LimitsCopy {
    version: AtomicU64,
    maximum: AtomicU64,
    minimum: AtomicU64,
    require_length: AtomicBool,
    /// [`u64::MAX`] stands for [`WriteBuffer::Whole`].
    write_buffer: AtomicU64,
    /// The relayed bytes at which the first piece of a reservation closes.
    first_close: AtomicU64,
}

impl LimitsCopy {
    /// Renews the copy if the limits have changed.
    #[inline(always)]
    pub(super) fn update(&self, live: &LiveLimits) {
        if self.version.load(Relaxed) != live.version.load(Acquire) {
            self.renew(live);
        }
    }

    #[cold]
    fn renew(&self, live: &LiveLimits) {
        let limits = live.lock();
        self.version.store(live.version.load(Relaxed), Relaxed);
        self.maximum.store(limits.maximum, Relaxed);
        self.minimum.store(limits.minimum, Relaxed);
        self.require_length.store(limits.require_length, Relaxed);
        let (write_buffer, first_close) = Closing::new(limits.write_buffer).to_parts();
        self.write_buffer.store(write_buffer, Relaxed);
        self.first_close.store(first_close, Relaxed);
    }

    #[inline(always)]
    pub(super) fn maximum(&self) -> u64 {
        self.maximum.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn minimum(&self) -> u64 {
        self.minimum.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn require_length(&self) -> bool {
        self.require_length.load(Relaxed)
    }

    pub(super) fn write_buffer(&self) -> u64 {
        self.write_buffer.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn first_close(&self) -> u64 {
        self.first_close.load(Relaxed)
    }
}
