use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU16, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread,
};

use super::{MAX_SCOPES, StorageFailure, admit::Rules};
use crate::capacity::{Charge, Priority, Progress, Reason, Refusal, RefusalParts, Slab};

/// What an admitted request holds of all its scopes. It ends when both its halves are gone: the request body's, since a
/// gRPC stream answers before it has read, and the response future's, since a handler writes after the last frame.
///
/// The halves meet in a slot of a pool, so that sharing costs no allocation.
#[derive(Debug)]
pub(crate) struct Hold {
    body: BodyHold,
    response: ResponseHold,
}

impl Hold {
    /// The half for the request body, and the one for the response future.
    #[inline]
    pub(crate) fn split(self) -> (BodyHold, ResponseHold) {
        (self.body, self.response)
    }
}

/// A pool of slots for the requests of one thread (or a few), with what a hold needs when it ends. Each request refers
/// to its pool by reference count; one pool for all would have every core fight for that count.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Slab<Slot>,
    rules: Arc<Rules>,
}

/// Where the two halves of a hold meet.
#[derive(Debug, Default)]
struct Slot {
    /// Bits of [`Half`]s that are gone, and [`POLLED`].
    gone: AtomicU8,
    /// Scopes of which an inode is held, a bit each.
    inodes: AtomicU8,
    /// Why the body was cut off: 0, or 1 + the reason's place + the scope's place × 256.
    tripped: AtomicU16,
    /// What is held of each scope and not closed yet. Written by the body's half while it lives.
    left: [AtomicU64; MAX_SCOPES],
}

const BODY: u8 = 1;
const RESPONSE: u8 = 2;
/// The body was asked for data: something may have been written.
const POLLED: u8 = 4;

impl Pool {
    /// One pool for each of a number of threads.
    pub(super) fn several(rules: &Arc<Rules>) -> Box<[Arc<Self>]> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores.next_power_of_two().min(64))
            .map(|_| {
                Arc::new(Self {
                    slots: Slab::new(),
                    rules: rules.clone(),
                })
            })
            .collect()
    }

    /// The one for this thread.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "their number is a power of two, so the mask stays below it"
    )]
    pub(super) fn own(pools: &[Arc<Self>]) -> &Arc<Self> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let place = PLACE.try_with(|place| {
            if place.get() == usize::MAX {
                place.set(THREADS.fetch_add(1, Relaxed));
            }
            place.get()
        });
        &pools[place.unwrap_or(0) & (pools.len() - 1)]
    }

    /// Takes `bytes` of all scopes or of none. `is_empty` says that no body will show whether something is written.
    #[inline]
    pub(super) fn hold(self: &Arc<Self>, bytes: u64, is_empty: bool, priority: Priority) -> Result<Hold, Refusal> {
        let Some(index) = self.slots.take() else {
            return Err(Refusal::new(Reason::Space));
        };
        let slot = self.slots.slot(index);
        for (place, (scope, left)) in self.rules.scopes.iter().zip(&slot.left).enumerate() {
            let taken = scope
                .amount(bytes, priority)
                .and_then(|amount| scope.reserve(amount, priority));
            match taken {
                Ok(taken) => {
                    left.store(taken.bytes, Relaxed);
                    if taken.inode {
                        slot.inodes.store(slot.inodes.load(Relaxed) | 1 << place, Relaxed);
                    }
                }
                Err(reason) => {
                    // The scopes before this one, in reverse order; those after it hold nothing.
                    self.end(index, false);
                    scope.core().kick();
                    return Err(self.rules.refusal(reason, Some(place), Some(bytes)));
                }
            }
        }
        let half = |side| Half {
            pool: self.clone(),
            index,
            side,
        };
        Ok(Hold {
            body: BodyHold {
                reserved: bytes,
                progress: Progress::new(self.rules.limits.write_buffer),
                polled: is_empty,
                priority,
                grown: false,
                unbound: false,
                half: half(BODY),
            },
            response: ResponseHold { half: half(RESPONSE) },
        })
    }

    /// Gives everything back: as refund when certainly nothing was written, else as closed.
    fn end(&self, index: u32, polled: bool) {
        let slot = self.slots.slot(index);
        let inodes = slot.inodes.load(Relaxed);
        for (place, (scope, left)) in self.rules.scopes.iter().zip(&slot.left).enumerate().rev() {
            let amount = left.load(Relaxed);
            let core = scope.core();
            if amount > 0 {
                left.store(0, Relaxed);
                if polled {
                    core.close(amount);
                } else {
                    core.bytes.refund(amount);
                }
            }
            if inodes & 1 << place != 0 {
                if polled {
                    core.inodes.close(1);
                } else {
                    core.inodes.refund(1);
                }
            }
        }
        slot.inodes.store(0, Relaxed);
        slot.tripped.store(0, Relaxed);
        slot.gone.store(0, Relaxed);
        self.slots.put(index);
    }
}

/// One side's share in a slot.
struct Half {
    pool: Arc<Pool>,
    index: u32,
    side: u8,
}

impl Half {
    #[inline]
    fn slot(&self) -> &Slot {
        self.pool.slots.slot(self.index)
    }

    /// This side is gone; whoever goes last ends the hold.
    #[inline]
    fn leave(&self, polled: bool) {
        let mine = self.side | if polled { POLLED } else { 0 };
        let other = (BODY | RESPONSE) ^ self.side;
        let gone = &self.slot().gone;
        let mut before = gone.load(Acquire);
        if before & other == 0 {
            before = gone.fetch_or(mine, AcqRel);
        }
        if before & other != 0 {
            self.pool.end(self.index, (before | mine) & POLLED != 0);
        }
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half")
            .field("index", &self.index)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

/// The request body's half of a hold: counts what passes, closes what is written, and takes more when more comes.
#[derive(Debug)]
pub(crate) struct BodyHold {
    half: Half,
    progress: Progress,
    /// The bytes that are paid for.
    reserved: u64,
    polled: bool,
    priority: Priority,
    /// Took more than it began with, ahead of what came.
    grown: bool,
    /// In report-only mode, after the refusal that would have been: counts no longer.
    unbound: bool,
}

/// A growing hold is taken ahead by as much as it has, up to this, so that not every frame costs a reservation.
const AHEAD: u64 = 1 << 20;

impl BodyHold {
    /// The service asks for the next frame: all but its write buffer of what it got is written.
    #[inline]
    pub(crate) fn asked(&mut self) {
        self.polled = true;
        if let Some((before, now)) = self.progress.asked() {
            self.close(before, now);
        }
    }

    /// A frame is about to be handed on.
    #[inline]
    pub(crate) fn relay(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.progress.relay(bytes);
        if self.progress.relayed() <= self.reserved {
            return Ok(());
        }
        self.grow()
    }

    fn grow(&mut self) -> Result<(), Refusal> {
        if self.unbound {
            return Ok(());
        }
        let needed = self.progress.relayed();
        let ahead = needed
            .saturating_add(self.reserved.min(AHEAD))
            .min(self.half.pool.rules.limits.maximum);
        if ahead > needed && self.extend_to(ahead).is_ok() {
            return Ok(());
        }
        let Err(refusal) = self.extend_to(needed) else {
            return Ok(());
        };
        let rules = &self.half.pool.rules;
        rules.tell_refused(&refusal);
        if rules.limits.report_only {
            self.unbound = true;
            return Ok(());
        }
        self.half.slot().tripped.store(trip_code(&refusal, rules), Release);
        Err(refusal)
    }

    /// Takes what a body of `bytes` needs beyond what it has, of all scopes or of none.
    fn extend_to(&mut self, bytes: u64) -> Result<(), Refusal> {
        let pool = &*self.half.pool;
        let rules = &*pool.rules;
        let refuse = |reason, place| Err(rules.refusal(reason, place, Some(bytes)).into_mid_stream());
        if bytes > rules.limits.maximum {
            return refuse(Reason::TooLarge, None);
        }
        let mut added = [0; MAX_SCOPES];
        for (place, (scope, more)) in rules.scopes.iter().zip(&mut added).enumerate() {
            let taken = scope.amount(bytes, self.priority).and_then(|amount| {
                let more = amount.saturating_sub(scope.tariff().total(self.reserved));
                scope.extend(more, self.priority)
            });
            match taken {
                Ok(taken) => *more = taken,
                Err(reason) => {
                    for (scope, more) in rules.scopes.iter().zip(added).take(place).rev() {
                        scope.core().bytes.refund(more);
                    }
                    scope.core().kick();
                    return refuse(reason, Some(place));
                }
            }
        }
        for (left, more) in pool.slots.slot(self.half.index).left.iter().zip(added) {
            left.store(left.load(Relaxed) + more, Relaxed);
        }
        self.reserved = bytes;
        self.grown = true;
        Ok(())
    }

    #[cold]
    fn close(&self, before: u64, now: u64) {
        let slot = self.half.slot();
        for (scope, left) in self.half.pool.rules.scopes.iter().zip(&slot.left) {
            let written = scope.tariff().written(now) - scope.tariff().written(before);
            let had = left.load(Relaxed);
            let closing = written.min(had);
            if closing > 0 {
                left.store(had - closing, Relaxed);
                scope.core().close(closing);
            }
        }
    }

    /// Bytes that were taken ahead and never came cannot have been written.
    fn return_what_never_came(&self) {
        let slot = self.half.slot();
        let relayed = self.progress.relayed();
        for (scope, left) in self.half.pool.rules.scopes.iter().zip(&slot.left) {
            let unused = scope.tariff().total(self.reserved) - scope.tariff().total(relayed);
            let had = left.load(Relaxed);
            let unused = unused.min(had);
            left.store(had - unused, Relaxed);
            scope.core().bytes.refund(unused);
        }
    }
}

impl Drop for BodyHold {
    #[inline]
    fn drop(&mut self) {
        if self.grown && self.progress.relayed() < self.reserved {
            self.return_what_never_came();
        }
        self.half.leave(self.polled);
    }
}

/// The response future's half of a hold.
#[derive(Debug)]
pub(crate) struct ResponseHold {
    half: Half,
}

impl ResponseHold {
    /// Why the body was cut off, if it was.
    #[inline]
    pub(crate) fn tripped(&self) -> Option<Refusal> {
        match self.half.slot().tripped.load(Acquire) {
            0 => None,
            code => Some(self.refusal_of(code)),
        }
    }

    #[cold]
    fn refusal_of(&self, code: u16) -> Refusal {
        let [reason, place] = (code - 1).to_le_bytes();
        // Codes are made below from a reason's place, so there is one.
        let reason = Reason::ALL.get(usize::from(reason)).copied().unwrap_or(Reason::Space);
        let place = (place > 0).then(|| usize::from(place) - 1);
        self.half.pool.rules.refusal(reason, place, None).into_mid_stream()
    }

    /// The storage said itself that it is full. The refusal that follows; `None` in report-only mode.
    #[cold]
    pub(crate) fn storage_failed(&self, failure: StorageFailure) -> Option<Refusal> {
        let rules = &self.half.pool.rules;
        // A file that is too large says nothing about room, nor the disk anything about what bodies do not land on whole.
        let is_full = !failure.reason().is_permanent();
        for scope in rules
            .scopes
            .iter()
            .filter(|scope| is_full && scope.tariff().charge == Charge::All)
        {
            scope.core().exhaust();
        }
        if is_full {
            // What this request holds comes back with the next reading as well, also if its body was never asked for:
            // otherwise the next one of its size would be let in.
            self.half.slot().gone.fetch_or(POLLED, AcqRel);
        }
        let refusal = rules.refusal(failure.reason(), None, None).into_mid_stream();
        rules.tell_refused(&refusal);
        (!rules.limits.report_only).then_some(refusal)
    }
}

impl Drop for ResponseHold {
    #[inline]
    fn drop(&mut self) {
        self.half.leave(false);
    }
}

fn trip_code(refusal: &Refusal, rules: &Rules) -> u16 {
    let place_of = |found: Option<usize>| found.map_or(0, |place| place as u8 + 1);
    let reason = Reason::ALL.iter().position(|reason| *reason == refusal.reason());
    let scope = rules
        .scopes
        .iter()
        .position(|scope| Some(&*scope.core().name) == refusal.resource());
    // Both are below 255: there are few reasons, and at most MAX_SCOPES scopes.
    1 + u16::from_le_bytes([reason.unwrap_or(0) as u8, place_of(scope)])
}

impl Rules {
    #[cold]
    pub(super) fn refusal(&self, reason: Reason, place: Option<usize>, requested: Option<u64>) -> Refusal {
        let scope = place.and_then(|place| self.scopes.get(place));
        let limit = match reason {
            Reason::TooLarge => Some(self.limits.maximum),
            Reason::ExceedsCapacity => scope.map(|scope| scope.core().ceiling()),
            Reason::Space => scope.map(|scope| scope.core().bytes.headroom().max(0).unsigned_abs()),
            _ => None,
        };
        Refusal::from_parts(RefusalParts {
            reason,
            resource: scope.map(|scope| scope.core().name.clone()),
            requested,
            limit,
            mid_stream: false,
        })
    }
}
