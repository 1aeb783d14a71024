use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Seed, SyncReply, SyncRequest, Synced};
use crate::tenant::Limit;

/// What a [`LeaseStore`](crate::LeaseStore) keeps of one tenant: who has stored how much, and who holds how much.
///
/// The rule is `used + Σ holds ≤ limit` for whatever is granted anew. What is stored or reserved already stays on record
/// whatever the limit says.
///
/// Times are durations since an origin that outlives the store's process, such as the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Which record of the tenant this is.
    pub epoch: u64,
    /// Whether it began with a measurement.
    pub measured: bool,
    /// Bytes that belong to no node's share.
    pub base: i64,
    /// Until then nothing is leased: nodes that knew of an older record are to report first.
    pub quiet_until: Duration,
    /// The nodes that have stored or hold something.
    pub nodes: BTreeMap<Arc<str>, NodeRecord>,
}

/// A node's line in a [`Record`]. Amounts are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeRecord {
    /// Which start of the node.
    pub incarnation: u64,
    /// The last request that was applied.
    pub sequence: u64,
    /// What it has stored, less what was deleted through it.
    pub share: i64,
    /// What it has leased.
    pub hold: u64,
    /// When the lease ends.
    pub expires: Duration,
    /// It has left or was reaped; kept for a while so that late messages are known as such.
    pub gone: bool,
}

/// A line of a node that is gone is forgotten after this: no message is under way for so long.
const TOMBSTONE: Duration = Duration::from_secs(3600);
/// Of what is free, a chunk beyond the need is at most the eighth part, so that nodes which come near the limit take
/// less and less ahead and all of it stays usable.
pub(super) const SHARE_OF_FREE: u64 = 8;

impl Record {
    /// Applies one request to a tenant's record, or makes the record if it is missing and the request has a seed. A
    /// `limit` that was set in the store is stronger than the request's; it is kept beside the record, because it can be
    /// set when nothing is known yet of what the tenant has stored.
    pub fn sync(record: &mut Option<Self>, limit: Option<Limit>, request: &SyncRequest, now: Duration) -> SyncReply {
        if record.is_none() {
            let Some(seed) = request.seed else {
                return SyncReply::Unknown;
            };
            *record = Some(Self::seeded(seed, request, now));
        }
        match record {
            Some(record) => record.apply(limit.unwrap_or(request.limit), request, now),
            None => SyncReply::Unknown,
        }
    }

    /// What all nodes together have stored, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        u64::try_from(self.sum().max(0)).unwrap_or(u64::MAX)
    }

    /// The same, or less than nothing if more was deleted than was ever told.
    fn sum(&self) -> i128 {
        let shares: i128 = self.nodes.values().map(|node| i128::from(node.share)).sum();
        shares + i128::from(self.base)
    }

    fn seeded(seed: Seed, request: &SyncRequest, now: Duration) -> Self {
        // Whoever knows a share has seen an older record, which is lost; others may have, too.
        let is_lost = request.share.is_some() && !seed.measured;
        Self {
            epoch: seed.epoch,
            measured: seed.measured,
            base: i64::try_from(seed.used).unwrap_or(i64::MAX),
            quiet_until: if is_lost {
                now.saturating_add(request.ttl)
            } else {
                Duration::ZERO
            },
            nodes: BTreeMap::new(),
        }
    }

    fn apply(&mut self, limit: Limit, request: &SyncRequest, now: Duration) -> SyncReply {
        self.nodes
            .retain(|_, node| !(node.gone && node.expires.saturating_add(TOMBSTONE) <= now));
        if let Some(node) = self.nodes.get(&request.node) {
            if node.incarnation > request.incarnation {
                return SyncReply::Superseded;
            }
            if node.incarnation == request.incarnation && node.sequence >= request.sequence {
                return SyncReply::Stale;
            }
            if node.incarnation == request.incarnation && node.gone {
                return SyncReply::Forgotten;
            }
        }
        if request.epoch.is_some_and(|known| known != self.epoch) && request.share.is_some() {
            if self.measured {
                return SyncReply::Reseeded { epoch: self.epoch };
            }
            // Somebody who knew nothing made this record, and an older one was lost. Others may be still to report.
            self.quiet_until = self.quiet_until.max(now.saturating_add(request.ttl));
        }
        let mut node = self.takeover(request);
        if let Some(share) = request.share {
            node.share = share;
        }
        if request.leave {
            self.base = self.base.saturating_add(node.share);
            node.share = 0;
            node.gone = true;
        }
        // What the node holds is what is being decided.
        node.hold = 0;
        self.nodes.insert(request.node.clone(), node);

        let wanted = request.floor.saturating_add(request.need);
        let mut free = self.free(limit);
        if wanted > free {
            self.reap(request, now);
            free = self.free(limit);
        }
        let is_quiet = now < self.quiet_until;
        let hold = if request.leave {
            0
        } else if wanted > free || is_quiet {
            request.floor
        } else {
            wanted + request.chunk.min((free - wanted) / SHARE_OF_FREE)
        };
        node.hold = hold;
        node.sequence = request.sequence;
        node.expires = now.saturating_add(request.ttl);
        self.nodes.insert(request.node.clone(), node);
        SyncReply::Synced(Synced {
            hold,
            room: if is_quiet {
                0
            } else {
                free.saturating_sub(request.floor)
            },
            is_quiet,
            share: node.share,
            used: self.used(),
            shortfall: u64::try_from((-self.sum()).max(0)).unwrap_or(u64::MAX),
            held_elsewhere: self.held().saturating_sub(hold),
            limit,
            epoch: self.epoch,
        })
    }

    /// The node's line. What an earlier incarnation held and never reported may be stored, so it counts as such until a
    /// measurement says better.
    fn takeover(&self, request: &SyncRequest) -> NodeRecord {
        match self.nodes.get(&request.node) {
            Some(node) if node.incarnation == request.incarnation => *node,
            former => NodeRecord {
                incarnation: request.incarnation,
                sequence: 0,
                share: former.map_or(0, |node| {
                    node.share.saturating_add(i64::try_from(node.hold).unwrap_or(i64::MAX))
                }),
                hold: 0,
                expires: Duration::ZERO,
                gone: false,
            },
        }
    }

    fn held(&self) -> u64 {
        self.nodes.values().fold(0, |sum, node| sum.saturating_add(node.hold))
    }

    /// What is neither stored nor held.
    fn free(&self, limit: Limit) -> u64 {
        limit.bound().saturating_sub(self.used()).saturating_sub(self.held())
    }

    /// Leases that ended long ago are free again; what their nodes stored stays on record.
    fn reap(&mut self, request: &SyncRequest, now: Duration) {
        let Some(grace) = request.reap_after else { return };
        for (name, node) in &mut self.nodes {
            if *name != request.node && !node.gone && node.expires.saturating_add(grace) <= now {
                self.base = self.base.saturating_add(node.share);
                node.share = 0;
                node.hold = 0;
                node.gone = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const MOMENT: Duration = Duration::from_nanos(1);

    fn request(node: &str, sequence: u64, share: i64) -> SyncRequest {
        SyncRequest {
            incarnation: 1,
            sequence,
            share: Some(share),
            epoch: Some(1),
            limit: Limit::bytes(1000),
            seed: Some(Seed::new(1, 0, true)),
            ..SyncRequest::new("t", node)
        }
    }

    fn sync(record: &mut Option<Record>, request: &SyncRequest, now: Duration) -> Synced {
        match Record::sync(record, None, request, now) {
            SyncReply::Synced(synced) => synced,
            reply => panic!("{reply:?}"),
        }
    }

    fn leaving(node: &str, sequence: u64, share: i64) -> SyncRequest {
        SyncRequest {
            leave: true,
            ..request(node, sequence, share)
        }
    }

    #[test]
    fn what_a_silent_node_has_stored_counts_for_ever() {
        let mut record = None;
        sync(&mut record, &request("a", 1, 100), Duration::ZERO);
        assert_eq!(sync(&mut record, &request("b", 1, 7), 1000 * TOMBSTONE).used, 107);
    }

    #[test]
    fn a_node_that_left_is_known_for_an_hour_more() {
        let mut record = None;
        sync(&mut record, &leaving("a", 1, 100), Duration::ZERO);
        for (sequence, now, is_known) in [(1, TTL + TOMBSTONE - MOMENT, true), (2, TTL + TOMBSTONE, false)] {
            assert_eq!(sync(&mut record, &request("b", sequence, 7), now).used, 107);
            let is_there = record.as_ref().is_some_and(|record| record.nodes.contains_key("a"));
            assert_eq!(is_there, is_known, "{now:?}");
        }
    }

    #[test]
    fn a_node_that_left_begins_anew_or_not_at_all() {
        let mut record = None;
        sync(&mut record, &leaving("a", 1, 100), Duration::ZERO);
        let reply = Record::sync(&mut record, None, &request("a", 2, 100), Duration::ZERO);
        assert_eq!(reply, SyncReply::Forgotten);
        let again = SyncRequest {
            incarnation: 2,
            ..request("a", 3, 5)
        };
        assert_eq!(sync(&mut record, &again, Duration::ZERO).used, 105);
    }

    #[test]
    fn what_comes_late_or_twice_changes_nothing() {
        let mut record = None;
        sync(&mut record, &request("a", 5, 100), Duration::ZERO);
        for sequence in [4, 5] {
            let reply = Record::sync(&mut record, None, &request("a", sequence, 7), Duration::ZERO);
            assert_eq!(reply, SyncReply::Stale);
        }
        assert_eq!(sync(&mut record, &request("a", 6, 100), Duration::ZERO).used, 100);
        // A later start counts anew.
        let restarted = SyncRequest {
            incarnation: 2,
            ..request("a", 1, 3)
        };
        assert_eq!(sync(&mut record, &restarted, Duration::ZERO).used, 3);
    }

    #[test]
    fn nobody_is_reaped_while_there_is_enough() {
        let mut record = None;
        let holds = SyncRequest {
            need: 600,
            ..request("a", 1, 0)
        };
        assert_eq!(sync(&mut record, &holds, Duration::ZERO).hold, 600);
        let mut wants = SyncRequest {
            need: 400,
            reap_after: Some(TTL),
            ..request("b", 1, 0)
        };
        let late = 10 * TTL;
        let all = sync(&mut record, &wants, late);
        assert_eq!((all.hold, all.held_elsewhere), (400, 600), "a may come back");
        (wants.sequence, wants.floor, wants.need) = (2, 400, 1);
        let more = sync(&mut record, &wants, late);
        assert_eq!((more.hold, more.held_elsewhere), (401, 0));
    }
}
