mod body;

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicI64, AtomicU8, AtomicU16, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread,
};

pub(crate) use self::body::BodyHold;
use super::{
    MAX_SCOPES, MAX_TENANTS, StorageFailure, Stored,
    admit::Rules,
    tenants::{TenantHolds, TenantSlot, fill_slots},
};
use crate::capacity::{Charge, Priority, Reason, Refusal, RefusalParts, Slab, WriteBuffer};

/// What an admitted request holds of all its scopes. It ends when both its halves are gone: the request body's, since a
/// gRPC stream answers before it has read, and the response future's, since a handler writes after the last frame.
///
/// The halves meet in a slot of a pool, so that sharing costs no allocation.
#[derive(Debug)]
pub(crate) struct Hold<C> {
    body: BodyHold<C>,
    response: ResponseHold<C>,
}

impl<C> Hold<C> {
    /// The half for the request body, and the one for the response future.
    #[inline]
    pub(crate) fn split(self) -> (BodyHold<C>, ResponseHold<C>) {
        (self.body, self.response)
    }

    /// Adds what is reserved of tenants.
    pub(super) fn charge(&mut self, holds: &mut TenantHolds, wish: &Wish) {
        let half = &self.body.half;
        fill_slots(&half.slot().tenants, holds, wish.bytes);
        half.slot().declared.store(wish.declared, Relaxed);
        let rules = &half.pool.rules;
        // What refuses nothing must not hold anything up either.
        let may_wait = wish.grows && !rules.limits.load().report_only;
        if may_wait && rules.tenants.iter().any(|ledger| ledger.core().is_leased()) {
            self.body.wait_ahead();
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) bytes: u64,
    /// No body will show whether something is written.
    pub(super) is_empty: bool,
    /// What is stored whatever of a body comes.
    pub(super) declared: u64,
    /// The length is not known, so more will be needed.
    pub(super) grows: bool,
    pub(super) priority: Priority,
    /// The largest body.
    pub(super) maximum: u64,
    pub(super) write_buffer: WriteBuffer,
}

/// A pool of slots for the requests of one thread (or a few), with what a hold needs when it ends. Each request refers
/// to its pool by reference count; one pool for all would have every core fight for that count.
///
/// What the layer needs for a request under way is reached by the same reference: further counts of its own, shared by all
/// threads, took a sixth of the whole decision.
#[derive(Debug)]
pub(super) struct Pool<C> {
    slots: Slab<Slot>,
    rules: Arc<Rules>,
    context: Arc<C>,
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
    /// What is reserved of tenants.
    pub(super) tenants: [TenantSlot; MAX_TENANTS],
    /// What is stored whatever came.
    declared: AtomicU64,
    /// What the body handed on; told by its half when it goes.
    relayed: AtomicU64,
    /// What the handler said, if it did ([`TOLD`]).
    told: AtomicI64,
    /// Requests that were admitted to this slot. Here only its user writes, so that counting takes no locked instruction.
    admitted: AtomicU64,
}

impl Slot {
    #[expect(clippy::indexing_slicing, reason = "places of ledgers come from counting them")]
    fn tenants_at(&self, at: usize) -> &TenantSlot {
        &self.tenants[at]
    }
}

const BODY: u8 = 1;
const RESPONSE: u8 = 2;
/// The body was asked for data: something may have been written.
const POLLED: u8 = 4;
/// The response says that what came is stored.
const SUCCEEDED: u8 = 8;
/// The handler told what is stored.
const TOLD: u8 = 16;

impl<C> Pool<C> {
    /// One pool for each of a number of threads.
    pub(super) fn several(rules: &Arc<Rules>, context: &Arc<C>) -> Box<[Arc<Self>]> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (0..cores.next_power_of_two().min(64))
            .map(|_| {
                Arc::new(Self {
                    slots: Slab::new(),
                    rules: rules.clone(),
                    context: context.clone(),
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

    /// Takes what is wished of all scopes or of none.
    #[inline(always)]
    pub(super) fn hold(self: &Arc<Self>, wish: &Wish) -> Result<Hold<C>, Refusal> {
        let Wish { bytes, priority, .. } = *wish;
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
                    self.end(index, 0);
                    scope.core().kick();
                    return Err(self.rules.refusal(reason, Some(place), Some(bytes)));
                }
            }
        }
        slot.admitted.store(slot.admitted.load(Relaxed) + 1, Relaxed);
        Ok(self.hold_at(index, wish))
    }

    /// Takes nothing of any scope, and of tenants what is held already. `None` when there is no slot; nothing is held then.
    pub(super) fn hold_tenants(self: &Arc<Self>, wish: &Wish, holds: &mut TenantHolds) -> Option<Hold<C>> {
        let Some(index) = self.slots.take() else {
            holds.roll_back(&self.rules, wish.bytes);
            return None;
        };
        let mut hold = self.hold_at(index, wish);
        hold.body.unbind();
        hold.charge(holds, wish);
        Some(hold)
    }

    #[inline(always)]
    fn hold_at(self: &Arc<Self>, index: u32, wish: &Wish) -> Hold<C> {
        let half = || Half {
            pool: self.clone(),
            index,
        };
        Hold {
            body: BodyHold::new(half(), wish),
            response: ResponseHold { half: half() },
        }
    }

    /// Requests that were admitted by this pool's threads.
    pub(super) fn admitted(&self) -> u64 {
        self.slots.all().map(|slot| slot.admitted.load(Relaxed)).sum()
    }

    /// Gives everything back: as refund when certainly nothing was written, else as closed. What is stored stays on the
    /// tenants' accounts.
    fn end(&self, index: u32, flags: u8) {
        let slot = self.slots.slot(index);
        let polled = flags & POLLED != 0;
        if !self.rules.tenants.is_empty() {
            self.settle(slot, flags);
        }
        for (scope, left) in self.rules.scopes.iter().zip(&slot.left).rev() {
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
        }
        if slot.inodes.load(Relaxed) != 0 {
            self.end_inodes(slot, polled);
        }
        slot.tripped.store(0, Relaxed);
        slot.gone.store(0, Relaxed);
        self.slots.put(index);
    }

    /// Rare: inodes are counted only where few are left.
    #[cold]
    fn end_inodes(&self, slot: &Slot, polled: bool) {
        let inodes = slot.inodes.swap(0, Relaxed);
        for (place, scope) in self.rules.scopes.iter().enumerate().rev() {
            if inodes & 1 << place != 0 {
                if polled {
                    scope.core().inodes.close(1);
                } else {
                    scope.core().inodes.refund(1);
                }
            }
        }
    }

    fn settle(&self, slot: &Slot, flags: u8) {
        let relayed = slot.relayed.swap(0, Relaxed);
        let declared = slot.declared.swap(0, Relaxed);
        let stored = if flags & TOLD != 0 {
            slot.told.load(Relaxed)
        } else if flags & SUCCEEDED != 0 {
            i64::try_from(relayed.max(declared)).unwrap_or(i64::MAX)
        } else {
            0
        };
        for (ledger, slot) in self.rules.tenants.iter().zip(&slot.tenants).rev() {
            if let Some((place, reserved)) = slot.take() {
                ledger.core().settle(place, reserved, stored);
            }
        }
    }
}

/// One side's share in a slot.
struct Half<C> {
    pool: Arc<Pool<C>>,
    index: u32,
}

impl<C> Half<C> {
    #[inline]
    fn slot(&self) -> &Slot {
        self.pool.slots.slot(self.index)
    }

    /// This side is gone; whoever goes last ends the hold.
    #[inline]
    fn leave(&self, side: u8, flags: u8) {
        let mine = side | flags;
        let other = (BODY | RESPONSE) ^ side;
        let gone = &self.slot().gone;
        let mut before = gone.load(Acquire);
        if before & other == 0 {
            before = gone.fetch_or(mine, AcqRel);
        }
        if before & other != 0 {
            self.pool.end(self.index, before | mine);
        }
    }
}

impl<C> fmt::Debug for Half<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The response future's half of a hold.
#[derive(Debug)]
pub(crate) struct ResponseHold<C> {
    half: Half<C>,
}

impl<C> ResponseHold<C> {
    /// What the layer needs for requests under way.
    #[inline]
    pub(crate) fn context(&self) -> &C {
        &self.half.pool.context
    }

    /// Whether the body was cut off.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.half.slot().tripped.load(Acquire) != 0
    }

    /// Why the body was cut off, if it was.
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
        let rules = &self.half.pool.rules;
        match place.and_then(|place| place.checked_sub(MAX_SCOPES)) {
            None => rules.refusal(reason, place, None),
            Some(at) => self.tenant_refusal(reason, at),
        }
        .into_mid_stream()
    }

    fn tenant_refusal(&self, reason: Reason, at: usize) -> Refusal {
        let rules = &self.half.pool.rules;
        let place = self.half.slot().tenants_at(at).place();
        let ledger = rules.tenants.get(at);
        Refusal::from_parts(RefusalParts {
            reason,
            resource: ledger.map(|ledger| ledger.core().name().clone()),
            tenant: place.and_then(|place| ledger?.core().tenant_at(place)),
            requested: None,
            limit: None,
            mid_stream: true,
        })
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
            .filter(|scope| is_full && scope.tariff().charge() == Charge::All)
        {
            scope.core().exhaust();
        }
        if is_full {
            // What this request holds comes back with the next reading as well, also if its body was never asked for:
            // otherwise the next one of its size would be let in.
            self.half.slot().gone.fetch_or(POLLED, AcqRel);
        }
        let refusal = rules.refusal(failure.reason(), None, None).into_mid_stream();
        rules.tally.count_late();
        rules.tell_refused(&refusal).then_some(refusal)
    }
}

impl<C> ResponseHold<C> {
    /// Whether it matters what the response says.
    #[inline]
    pub(crate) fn charges_tenants(&self) -> bool {
        !self.half.pool.rules.tenants.is_empty()
    }

    /// What the response says: whether what came is stored, and how much exactly, if the handler told.
    pub(crate) fn conclude(&self, succeeded: bool, told: Option<Stored>) {
        let slot = self.half.slot();
        let mut flags = if succeeded { SUCCEEDED } else { 0 };
        if let Some(Stored(bytes)) = told {
            slot.told.store(bytes, Relaxed);
            flags |= TOLD;
        }
        slot.gone.fetch_or(flags, AcqRel);
    }
}

impl<C> Drop for ResponseHold<C> {
    #[inline]
    fn drop(&mut self) {
        self.half.leave(RESPONSE, 0);
    }
}

fn trip_code(refusal: &Refusal, rules: &Rules, slot: &Slot) -> u16 {
    let place_of = |found: Option<usize>| found.map_or(0, |place| place as u8 + 1);
    let reason = Reason::ALL.iter().position(|reason| *reason == refusal.reason());
    let name = refusal.resource();
    let scope = if refusal.tenant().is_some() {
        let mut charged = rules.tenants.iter().zip(&slot.tenants);
        let ledger = charged.position(|(ledger, slot)| {
            let tenant = slot.place().and_then(|place| ledger.core().tenant_at(place));
            Some(ledger.name()) == name && tenant.as_deref() == refusal.tenant()
        });
        ledger.map(|at| at + MAX_SCOPES)
    } else {
        rules.scopes.iter().position(|scope| Some(&*scope.core().name) == name)
    };
    // Both are below 255: there are few reasons, and at most MAX_SCOPES scopes and MAX_TENANTS ledgers.
    1 + u16::from_le_bytes([reason.unwrap_or(0) as u8, place_of(scope)])
}

impl Rules {
    #[cold]
    pub(super) fn refusal(&self, reason: Reason, place: Option<usize>, requested: Option<u64>) -> Refusal {
        let scope = place.and_then(|place| self.scopes.get(place));
        let limit = match reason {
            Reason::TooLarge => Some(self.limits.load().maximum),
            Reason::ExceedsCapacity => scope.map(|scope| scope.core().ceiling()),
            Reason::Space => scope.map(|scope| scope.core().bytes.headroom().max(0).unsigned_abs()),
            _ => None,
        };
        Refusal::from_parts(RefusalParts {
            reason,
            resource: scope.map(|scope| scope.core().name.clone()),
            tenant: None,
            requested,
            limit,
            mid_stream: false,
        })
    }
}
