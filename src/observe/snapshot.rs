use std::time::SystemTime;

use super::{LedgerFigures, Readiness, TenantRow};
use crate::{LayerReport, ResourceReport};

/// How everything stands at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// When that was.
    pub at: SystemTime,
    /// The worst of all resources.
    pub readiness: Readiness,
    /// Every resource by its name.
    pub resources: Vec<(String, ResourceReport)>,
    /// Every layer by its name.
    pub layers: Vec<(String, LayerReport)>,
    /// The ledger of tenants as it was a few seconds ago, if there is one.
    pub ledger: Option<LedgerFigures>,
    /// The fullest tenants as they were then, where a status shows them.
    pub fullest_tenants: Vec<TenantRow>,
}
