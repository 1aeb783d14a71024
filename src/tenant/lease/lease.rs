mod reply;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use super::{LeaseSettings, MissingRecord, Seed, SyncRequest, Synced, Unreachable, waiter::Waiter};
use crate::tenant::{
    Denied, DeniedKind, Limit, Usage,
    balance::{Balance, LEASED},
};

/// This node's side of one tenant's lease.
///
/// Invariant, with the names of [`Balance`]: `LEASED − charged = hold − blocked − reserved − (stored − reported)`. What
/// requests may still take is the lease, less what of it is beyond the limit, less what they have reserved, less what they
/// have stored and the store does not know.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) tenant: Arc<str>,
    pub(super) incarnation: u64,
    hold: u64,
    /// What of the hold is beyond the limit: that was lowered, or more was stored than had been reserved. It covers what is
    /// under way, and nothing new.
    blocked: u64,
    /// Of all that was stored through this entry, what the record knows of.
    reported: u64,
    /// Deletes, counted up, and how many of them the record knows of.
    credited: u64,
    credited_reported: u64,
    /// The node's share when the entry was made; `None` until the record was asked.
    base: Option<i64>,
    epoch: Option<u64>,
    /// What to make the record with that turned out to be missing.
    seed: Option<Seed>,
    known: Option<Synced>,
    ends: Duration,
    pub(super) waiting: VecDeque<Arc<Waiter>>,
    pub(super) stage: Stage,
    sent: Option<Sent>,
    /// More was asked for ahead of time.
    pub(super) wants_refill: bool,
    /// What was stored at the last heartbeat.
    seen: u64,
    /// Heartbeats in a row without a request.
    quiet_beats: u32,
}

/// The leased part of a tenant's entry.
#[derive(Debug, Default)]
pub(in crate::tenant) struct LeaseCell {
    /// A charge beyond this asks for more ahead of time. 0 until the first reply.
    pub(super) refill_above: AtomicU64,
    /// A lease counts as a reference to its entry.
    pub(super) lease: Mutex<Option<Lease>>,
}

/// No two records have the same: numbers of one node differ by the sequence, and nodes by the time they started.
pub(super) fn epoch(incarnation: u64, sequence: u64) -> u64 {
    incarnation ^ sequence.rotate_left(32)
}

/// At most one request to the store is under way for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Queued {
        urgent: bool,
    },
    /// `again`: something happened meanwhile that the record should hear of.
    InFlight {
        again: bool,
    },
}

/// What the request under way said, to be set against the reply.
#[derive(Clone, Copy, Debug)]
struct Sent {
    stored: u64,
    credited: u64,
    /// What is kept of the lease once the report is on record; less than nothing with debts.
    kept: i128,
    floor: u64,
    need: u64,
    /// The share was asked for, so nothing that was stored could be told.
    is_first: bool,
    at: Duration,
}

/// What a request to the store is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Asked,
    Heartbeat,
    /// The limit has changed: what lies idle was leased under another.
    Recall,
    /// The ledger is closed: everything goes back.
    Closing,
}

/// What is to be done after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Again,
    /// There is no record.
    Seed,
    /// Another process goes by this node's name.
    Superseded,
    /// The record cannot be used.
    Failed,
}

impl Lease {
    pub(super) fn new(tenant: Arc<str>, incarnation: u64) -> Self {
        Self {
            tenant,
            incarnation,
            hold: 0,
            blocked: 0,
            reported: 0,
            credited: 0,
            credited_reported: 0,
            base: None,
            epoch: None,
            seed: None,
            known: None,
            ends: Duration::ZERO,
            waiting: VecDeque::new(),
            stage: Stage::Idle,
            sent: None,
            wants_refill: false,
            seen: 0,
            quiet_beats: 0,
        }
    }

    /// A heartbeat has come. Tells whether there is anything to say.
    pub(super) fn beat(&mut self, balance: &Balance, settings: &LeaseSettings) -> bool {
        let stored = balance.used();
        let is_quiet = stored == self.seen && self.reserved(balance, stored) == 0;
        self.quiet_beats = if is_quiet {
            self.quiet_beats.saturating_add(1)
        } else {
            0
        };
        self.seen = stored;
        // Others must see that this node is there, and it must see what they have changed.
        settings.is_shared || self.has_news(balance) || self.quiet_beats >= settings.give_back_after
    }

    /// Writes the next request. What the node gives back is taken from requests first, before the message goes out.
    pub(super) fn prepare(
        &mut self,
        balance: &Balance,
        settings: &LeaseSettings,
        limit: Limit,
        sequence: u64,
        occasion: Occasion,
        now: Duration,
    ) -> SyncRequest {
        self.waiting.retain(|waiter| waiter.is_waiting());
        let wanted = self
            .waiting
            .iter()
            .fold(0, |sum: u64, waiter| sum.saturating_add(waiter.bytes));
        let stored = balance.used();
        let charged = balance.charged();
        let refills =
            std::mem::take(&mut self.wants_refill) && !matches!(occasion, Occasion::Closing | Occasion::Recall);
        let wants_more = wanted > 0 || refills || (occasion == Occasion::Heartbeat && self.quiet_beats == 0);
        let spare = LEASED.saturating_sub(charged);
        let keep = match occasion {
            _ if wanted > 0 => u64::MAX,
            Occasion::Closing | Occasion::Recall => 0,
            Occasion::Heartbeat if self.quiet_beats >= settings.give_back_after => 0,
            _ => settings.chunk.min(self.fair_share(spare)),
        };
        let given = balance.charge_up_to(spare.saturating_sub(keep), LEASED);
        self.hold = self.hold.saturating_sub(given);
        self.give_blocked_back(balance);

        let spare = spare - given;
        let debt = i128::from(balance.charged().saturating_sub(LEASED.saturating_add(self.blocked)));
        let share = self.share(stored);
        // A share that is not known cannot be told, so what was stored stays part of what is kept.
        let told = if share.is_some() { stored } else { self.reported };
        let kept = i128::from(self.hold) - i128::from(told - self.reported);
        let floor = u64::try_from((kept + debt).max(0)).unwrap_or(u64::MAX);
        let need = wanted.saturating_sub(spare);
        self.sent = Some(Sent {
            stored: told,
            credited: if share.is_some() {
                self.credited
            } else {
                self.credited_reported
            },
            kept,
            floor,
            need,
            is_first: share.is_none(),
            at: now,
        });
        SyncRequest {
            tenant: self.tenant.clone(),
            node: settings.node.clone(),
            incarnation: self.incarnation,
            sequence,
            epoch: self.epoch,
            share,
            floor,
            need,
            chunk: if wants_more {
                settings.chunk.saturating_sub(spare.saturating_sub(wanted))
            } else {
                0
            },
            limit,
            ttl: settings.ttl,
            reap_after: settings.reap_after,
            // Asked for beforehand where the answer is known, so that a new tenant costs one exchange and not two.
            seed: self.seed.or_else(|| match settings.missing {
                MissingRecord::StartAtZero if share.is_none() => Some(Seed::nothing(epoch(self.incarnation, sequence))),
                _ => None,
            }),
            // Whoever still has something under way may store it and can no longer tell.
            leave: occasion == Occasion::Closing && settings.is_anonymous && floor == 0,
        }
    }

    /// What lies idle beyond the limit goes back. Requests cannot take it, so nothing is taken from them.
    fn give_blocked_back(&mut self, balance: &Balance) {
        let idle = LEASED.saturating_add(self.blocked).saturating_sub(balance.charged());
        let given = self.blocked.min(idle);
        self.hold = self.hold.saturating_sub(given);
        self.blocked -= given;
    }

    /// What this node has stored in all, if it is known.
    pub(super) fn share(&self, stored: u64) -> Option<i64> {
        let change = i128::from(stored) - i128::from(self.credited);
        let share = i128::from(self.base?) + change;
        Some(share.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    pub(super) fn credit(&mut self, bytes: u64) {
        self.credited = self.credited.saturating_add(bytes);
    }

    /// The store cannot be asked: the request is taken back.
    pub(super) fn failed(&mut self) {
        self.stage = Stage::Idle;
        self.sent = None;
    }

    /// What a node may hold ahead of need: of what is not taken, its own idle part included, as much as a record would give
    /// out. Near a limit nobody sits on the rest.
    fn fair_share(&self, spare: u64) -> u64 {
        self.known.map_or(0, |known| {
            known.room.saturating_add(spare) / super::record::SHARE_OF_FREE
        })
    }

    /// Whether there is something that the record does not know.
    pub(super) fn has_news(&self, balance: &Balance) -> bool {
        balance.used() != self.reported || self.credited != self.credited_reported
    }

    /// Whether nothing is left that would need the lease.
    pub(super) fn is_over(&self, balance: &Balance, settings: &LeaseSettings) -> bool {
        let told_nothing = balance.used() == 0 && self.credited == 0;
        (told_nothing || self.quiet_beats >= settings.forget_after)
            && self.hold == 0
            && balance.charged() == LEASED
            && !self.has_news(balance)
            && self.stage == Stage::Idle
            && self.seed.is_none()
            && !self.waiting.iter().any(|waiter| waiter.is_waiting())
    }

    /// From which charge on more should be asked for: when half of what is spare is gone, if the record has more.
    pub(super) fn refill_above(&self, balance: &Balance, chunk: u64) -> u64 {
        let spare = LEASED.saturating_sub(balance.charged());
        match self.known {
            Some(known) if chunk > 0 && spare > chunk / 64 && known.room > spare => LEASED - spare / 2,
            _ => u64::MAX,
        }
    }

    /// The lease has ended: others may have it by now.
    pub(super) fn end_if_due(&mut self, balance: &Balance, now: Duration) {
        if self.ends <= now && self.hold > 0 {
            let given = balance.charge_up_to(LEASED, LEASED);
            self.hold = self.hold.saturating_sub(given);
        }
    }

    /// Decides without the store, by a policy.
    pub(super) fn decide_alone(
        &self,
        balance: &Balance,
        bytes: u64,
        policy: Unreachable,
        configured: Limit,
    ) -> Result<(), Denied> {
        let limit = self.limit(configured).bound();
        if bytes > limit {
            return Err(Denied::with_limit(DeniedKind::ExceedsQuota, limit));
        }
        let most = match policy {
            Unreachable::FailOpen => u64::MAX,
            Unreachable::LocalShare(nodes) => limit / u64::from(nodes.get()),
            Unreachable::FailClosed => return Err(Denied::new(DeniedKind::Unknown)),
        };
        let stored = balance.used();
        let reserved = self.reserved(balance, stored);
        let own = i128::from(self.share(stored).unwrap_or(0)).max(0) + i128::from(reserved);
        if own + i128::from(bytes) > i128::from(most) {
            return Err(Denied::with_limit(DeniedKind::Quota, limit));
        }
        balance.charge(bytes);
        Ok(())
    }

    pub(super) fn limit(&self, configured: Limit) -> Limit {
        self.known.map_or(configured, |known| known.limit)
    }

    pub(super) fn hold(&self) -> u64 {
        self.hold
    }

    pub(super) fn usage(&self, balance: &Balance, configured: Limit) -> Usage {
        let stored = balance.used();
        Usage {
            used: u64::try_from(self.sum(stored).max(0)).unwrap_or(u64::MAX),
            reserved: self.reserved(balance, stored),
            held_elsewhere: self.known.map_or(0, |known| known.held_elsewhere),
            limit: self.limit(configured),
        }
    }

    /// What all have stored, as far as this node knows; less than nothing if more was deleted than was ever told.
    pub(super) fn sum(&self, stored: u64) -> i128 {
        let known = self
            .known
            .map_or(0, |known| i128::from(known.used) - i128::from(known.shortfall));
        known + i128::from(stored - self.reported) - i128::from(self.credited - self.credited_reported)
    }

    fn reserved(&self, balance: &Balance, stored: u64) -> u64 {
        let spare = i128::from(LEASED) - i128::from(balance.charged());
        let spendable = i128::from(self.hold) - i128::from(self.blocked);
        let reserved = spendable - spare - i128::from(stored - self.reported);
        u64::try_from(reserved.max(0)).unwrap_or(u64::MAX)
    }
}
