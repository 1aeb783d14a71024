//! What a reply from the store changes.

use super::{Lease, Next, Sent, Stage};
use crate::tenant::{
    Denied, DeniedKind,
    balance::{Balance, LEASED},
    lease::{LeaseSettings, Seed, SyncReply, Synced},
};

impl Lease {
    /// Takes the reply in, hands out what was granted, and tells what is to be done next.
    pub(in crate::tenant::lease) fn take_in(
        &mut self,
        balance: &Balance,
        reply: &SyncReply,
        settings: &LeaseSettings,
    ) -> Next {
        let again = self.stage == Stage::InFlight { again: true };
        self.stage = Stage::Idle;
        let Some(sent) = self.sent.take() else {
            return Next::Nothing;
        };
        match reply {
            SyncReply::Synced(synced) => {
                self.take_synced(balance, synced, sent, settings);
                if again || !self.waiting.is_empty() || (sent.is_first && self.has_news(balance)) {
                    Next::Again
                } else {
                    Next::Nothing
                }
            }
            // Told again with a later number.
            SyncReply::Stale => Next::Again,
            SyncReply::Unknown => Next::Seed,
            SyncReply::Reseeded { epoch } => {
                self.rebase();
                self.epoch = Some(*epoch);
                Next::Again
            }
            SyncReply::Forgotten => {
                // What was leased is gone; what is reserved or not reported stays, as a debt that the next request tells.
                balance.charge(self.hold.saturating_sub(self.blocked));
                (self.hold, self.blocked) = (0, 0);
                self.incarnation += 1;
                self.rebase();
                Next::Again
            }
            SyncReply::Superseded => Next::Superseded,
            SyncReply::Failed { .. } => Next::Failed,
        }
    }

    fn take_synced(&mut self, balance: &Balance, synced: &Synced, sent: Sent, settings: &LeaseSettings) {
        self.seed = None;
        self.epoch = Some(synced.epoch);
        self.known = Some(*synced);
        self.base.get_or_insert(synced.share);
        self.hold = synced.hold;
        self.reported = sent.stored;
        self.credited_reported = sent.credited;
        // Nine or eight tenths of the time are as good as all of it, and a clock that runs slow does no harm.
        self.ends = sent.at + settings.ttl.mul_f64(0.8);

        let all = u128::from(synced.used) + u128::from(synced.held_elsewhere) + u128::from(synced.hold);
        let beyond = all.saturating_sub(u128::from(synced.limit.bound()));
        let blocked = u64::try_from(beyond).unwrap_or(u64::MAX).min(synced.hold);
        let raised = i128::from(synced.hold) - sent.kept - i128::from(blocked) + i128::from(self.blocked);
        self.blocked = blocked;
        if raised < 0 {
            balance.charge(u64::try_from(-raised).unwrap_or(u64::MAX));
        }
        let mut raised = u64::try_from(raised.max(0)).unwrap_or(u64::MAX).min(LEASED);
        if balance.charged() > LEASED {
            // Debts come first.
            balance.release(raised);
            raised = 0;
        }
        // Handed from hand to hand: put into the open, it could be taken by requests that came later.
        while let Some(waiter) = self.waiting.front() {
            if !waiter.is_waiting() {
                self.waiting.pop_front();
                continue;
            }
            let from_raised = waiter.bytes.min(raised);
            if waiter.bytes > from_raised && balance.try_charge(waiter.bytes - from_raised, LEASED).is_none() {
                break;
            }
            raised -= from_raised;
            let bytes = waiter.bytes;
            if !waiter.resolve(Ok(())) {
                balance.release(bytes - from_raised);
                raised += from_raised;
            }
            self.waiting.pop_front();
        }
        balance.release(raised);
        // Who came after the request was written is not in its need and asks again; so does everybody while the record
        // has not heard of deletes that may make room.
        let has_heard_all = !(sent.is_first && self.has_news(balance));
        if has_heard_all && synced.hold < sent.floor.saturating_add(sent.need) {
            self.deny_what_does_not_fit(balance, synced);
        }
    }

    /// The need was not met as a whole. Whoever fits by himself in what there is may ask again.
    fn deny_what_does_not_fit(&mut self, balance: &Balance, synced: &Synced) {
        let spare = LEASED.saturating_sub(balance.charged());
        let mut room = synced.room.saturating_add(spare);
        let limit = synced.limit.bound();
        self.waiting.retain(|waiter| {
            let kind = match waiter.bytes {
                bytes if bytes > limit => DeniedKind::ExceedsQuota,
                _ if synced.is_quiet => DeniedKind::Unknown,
                bytes if bytes <= room => {
                    room -= bytes;
                    return true;
                }
                _ => DeniedKind::Quota,
            };
            let denied = Denied::with_limit(kind, limit);
            let available = if synced.is_quiet { 0 } else { room };
            waiter.resolve(Err(denied.with_available(available)));
            false
        });
    }

    /// A record was made by measuring, or this node was folded into it: what was reported is in it. From now on the share
    /// is what has not been reported yet.
    fn rebase(&mut self) {
        let reported = i64::try_from(self.reported).unwrap_or(i64::MAX);
        let credited = i64::try_from(self.credited_reported).unwrap_or(i64::MAX);
        self.base = Some(credited.saturating_sub(reported));
    }

    /// What to make a missing record with. One that was measured includes what this node has reported.
    pub(in crate::tenant::lease) fn plant(&mut self, seed: Seed) {
        if seed.measured && self.base.is_some() {
            self.rebase();
        }
        self.epoch = Some(seed.epoch);
        self.seed = Some(seed);
    }

    pub(in crate::tenant::lease) fn is_lost(&self) -> bool {
        self.base.is_some()
    }
}
