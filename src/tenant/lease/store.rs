use std::{sync::Arc, time::Duration};

use crate::tenant::{Limit, StoreError, StoreErrorKind};

/// Where the leases of several nodes meet: the engine behind a [`Ledger`](crate::Ledger).
///
/// A request never talks to it. A node leases bytes of a tenant's limit, admits requests out of them, and reports from
/// time to time what became of them; this trait is that conversation. It is blocking and is called on a thread of its
/// own, one call at a time, so that an engine which hangs holds up nobody who has a lease.
///
/// What one call does to one tenant is a pure function, [`Record::sync`](crate::Record::sync). A store reads a tenant's
/// record, applies it, and writes the record back, all in one transaction. It never answers for a record that it could
/// not read: [`SyncReply::Unknown`] says that there is none.
pub trait LeaseStore: Send {
    /// Applies the requests, each to its tenant. The answers come in the same order, one for each request.
    ///
    /// # Errors
    ///
    /// When nobody knows whether anything was applied. All numbers are absolute, so the same is simply told again.
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError>;

    /// Sets a limit that holds for all nodes, whatever they are configured with; `None` takes it back. It applies with
    /// each node's next [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// When it is not certain that the limit was stored.
    fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError>;
}

/// What one node tells about one tenant, and what it wants. Amounts are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncRequest {
    /// Whose bytes.
    pub tenant: Arc<str>,
    /// The node's name.
    pub node: Arc<str>,
    /// Which start of that node: higher for every later one.
    pub incarnation: u64,
    /// Grows with every call of this incarnation. A record refuses an older one: a late duplicate of a message that gave
    /// bytes back would otherwise give them to a second node.
    pub sequence: u64,
    /// The record that the node knows, if it knows one.
    pub epoch: Option<u64>,
    /// All that this node has ever stored for the tenant, less what was deleted through it: the sum, not a difference,
    /// so that a lost or repeated report heals itself. `None` when the node does not know it yet and asks.
    pub share: Option<i64>,
    /// What the node must keep: bytes of requests under way and the part of the lease that it does not give back.
    pub floor: u64,
    /// What it needs beyond that.
    pub need: u64,
    /// What it would like beyond that, so that it need not come again soon. Near the limit it gets less.
    pub chunk: u64,
    /// The limit that the node is configured with. One set in the record is stronger.
    pub limit: Limit,
    /// For how long the lease is good.
    pub ttl: Duration,
    /// Leases that ended longer ago than this may be given to others. `None`: never.
    pub reap_after: Option<Duration>,
    /// What to make the record with if there is none.
    pub seed: Option<Seed>,
    /// The node's last word: it stores nothing more under this name, so its share moves to what belongs to no node.
    pub leave: bool,
}

impl SyncRequest {
    /// A request that tells nothing and wants nothing yet; what it says is set field by field.
    #[must_use]
    pub fn new(tenant: impl Into<Arc<str>>, node: impl Into<Arc<str>>) -> Self {
        Self {
            tenant: tenant.into(),
            node: node.into(),
            incarnation: 0,
            sequence: 0,
            epoch: None,
            share: None,
            floor: 0,
            need: 0,
            chunk: 0,
            limit: Limit::UNLIMITED,
            ttl: Duration::from_secs(60),
            reap_after: None,
            seed: None,
            leave: false,
        }
    }
}

/// What a record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seed {
    /// A number that no other record of the tenant ever had.
    pub epoch: u64,
    /// Bytes that are stored already and belong to no node's share.
    pub used: u64,
    /// Whether `used` was measured and so includes what nodes have stored. Otherwise those that know of an older record
    /// report their shares again, and nothing is leased until all have had the time to.
    pub measured: bool,
}

impl Seed {
    /// For a tenant who has stored nothing, as far as anybody knows.
    pub(super) const fn nothing(epoch: u64) -> Self {
        Self::new(epoch, 0, false)
    }

    /// A record's beginning; the fields tell what the figures mean.
    #[must_use]
    pub const fn new(epoch: u64, used: u64, measured: bool) -> Self {
        Self { epoch, used, measured }
    }
}

/// How a record answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncReply {
    /// It was applied.
    Synced(Synced),
    /// There is no record, and the request had no [`Seed`]. That is not the same as nothing stored.
    Unknown,
    /// The record was made anew by a measurement after the one that the node knows. What the node has reported is
    /// included; from now on its share is what it has not reported yet.
    Reseeded {
        /// The new record.
        epoch: u64,
    },
    /// A later request of this incarnation was applied before.
    Stale,
    /// The node had been silent for so long that its lease was given to others. What it stored is on record; as a new
    /// incarnation it can begin anew.
    Forgotten,
    /// A later incarnation of a node with this name is at work. This one must stop.
    Superseded,
    /// Nothing was applied: this tenant's record cannot be read, or cannot hold these figures. The others of the same
    /// call are not concerned.
    Failed {
        /// What kind of failure it is.
        kind: StoreErrorKind,
        /// In words for an operator.
        reason: Arc<str>,
    },
}

/// An applied request. Amounts are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synced {
    /// What the node has leased now. At least the request's floor; with its need as well, or else nothing beyond it.
    pub hold: u64,
    /// What the node could have had beyond its floor.
    pub room: u64,
    /// Nothing is leased now, because nodes are still to report what they have stored: the record had been lost.
    pub is_quiet: bool,
    /// The node's share as it is on record.
    pub share: i64,
    /// What all nodes together have stored.
    pub used: u64,
    /// By how much more was deleted than was ever told: then `used` is 0, and what is stored was not known.
    pub shortfall: u64,
    /// What other nodes hold.
    pub held_elsewhere: u64,
    /// The limit in force.
    pub limit: Limit,
    /// The record's epoch.
    pub epoch: u64,
}
