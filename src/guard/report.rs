use super::{layer::StorageGuardLayer, shared::Shared};
use crate::admission::RefusalCounts;

/// What a layer has decided since it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerReport {
    /// Whether refusals are only counted and told.
    pub report_only: bool,
    /// Requests that were admitted. (Exempt ones are not counted, nor those that only report-only mode let through.)
    pub admitted: u64,
    /// Requests that were refused.
    pub refused: RefusalCounts,
    /// Requests that would have been refused, had it not been in report-only mode.
    pub would_be_refused: RefusalCounts,
    /// Admitted requests that met a storage which said itself that it is full; each is a refusal too.
    pub late_failures: u64,
    /// Connections of refused requests that are kept for a moment now.
    pub lingering: usize,
    /// Connections that were kept for a moment.
    pub lingered: u64,
    /// Connections that were closed at once because too many were kept.
    pub linger_overflow: u64,
}

impl StorageGuardLayer {
    /// What the layer has decided so far. Adds up a few counters; requests are not held up.
    #[must_use]
    pub fn report(&self) -> LayerReport {
        let Shared {
            admission,
            response_context,
            ..
        } = self.shared();
        let linger = &response_context.linger;
        LayerReport {
            report_only: admission.limits().report_only(),
            admitted: admission.admitted(),
            refused: admission.refused(true),
            would_be_refused: admission.refused(false),
            late_failures: admission.late_failures(),
            lingering: linger.now(),
            lingered: linger.so_far(),
            linger_overflow: linger.overflow(),
        }
    }
}
