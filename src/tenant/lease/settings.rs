use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use crate::BoxError;

/// How a node leases: what [`Leasing`](crate::Leasing) was built with.
#[derive(Clone)]
pub(in crate::tenant) struct LeaseSettings {
    pub(in crate::tenant) node: Arc<str>,
    /// The name was made up, and nobody will come back under it.
    pub(in crate::tenant) is_anonymous: bool,
    pub(in crate::tenant) chunk: u64,
    pub(in crate::tenant) ttl: Duration,
    pub(in crate::tenant) heartbeat: Duration,
    /// Heartbeats without a request after which a lease goes back.
    pub(in crate::tenant) give_back_after: u32,
    /// Heartbeats without a request after which this node forgets what it has told: an engine that loses its latest writes
    /// hears it again until then.
    pub(in crate::tenant) forget_after: u32,
    /// Tell deletes and, without chunks, ends of requests at once, because others wait for the room.
    pub(in crate::tenant) is_shared: bool,
    pub(in crate::tenant) reap_after: Option<Duration>,
    pub(in crate::tenant) patience: Duration,
    pub(in crate::tenant) unreachable: Unreachable,
    pub(in crate::tenant) missing: MissingRecord,
}

/// What becomes of requests that need more than is leased, while the engine cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// Refuse with 503: not known is not full. What is leased can still be used.
    #[default]
    FailClosed,
    /// Let a node use its part of the limit: a tenant may store here up to the limit divided by this number of nodes, what
    /// it stored through this node before included. If all nodes are cut off from the engine, they admit at most the
    /// limit, beyond what was stored through others before.
    LocalShare(NonZeroU32),
    /// Let everything through that is not larger than the whole limit, and charge it. Nothing bounds what is stored then.
    FailOpen,
}

/// What a tenant of whom the engine has no record has stored. That is not nothing: the record may have been lost.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum MissingRecord {
    /// A tenant whom no node knows either is new and has stored nothing. If this node knows more, the record was lost:
    /// nodes report again what was stored through them, and nothing new is leased until all have had the time to (one
    /// [`ttl`](crate::Leasing::ttl)). What was stored through nodes that are gone for good is not known then.
    #[default]
    StartAtZero,
    /// Measure it: a function that tells how many bytes the tenant has stored in all, through whatever node. It runs on
    /// the ledger's own thread and may block; while it fails, the tenant is refused with 503.
    Measure(Arc<dyn MeasureUsage>),
    /// Refuse with 503 until somebody has made a record.
    Refuse,
}

/// Tells how many bytes a tenant has stored, by looking at the storage itself. Any
/// `Fn(&str) -> Result<u64, E>` does.
pub trait MeasureUsage: Send + Sync {
    /// Measures now; may block.
    ///
    /// # Errors
    ///
    /// When it cannot be told. It is asked again with the tenant's next request.
    fn measure(&self, tenant: &str) -> Result<u64, BoxError>;
}

impl<F, E> MeasureUsage for F
where
    F: Fn(&str) -> Result<u64, E> + Send + Sync,
    E: Into<BoxError>,
{
    fn measure(&self, tenant: &str) -> Result<u64, BoxError> {
        self(tenant).map_err(Into::into)
    }
}

impl fmt::Debug for MissingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartAtZero => "StartAtZero",
            Self::Measure(_) => "Measure(..)",
            Self::Refuse => "Refuse",
        })
    }
}
