use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    thread,
};

use super::{Hold, Wish, growth::Growth};
use crate::{
    admission::{
        MAX_SCOPES, MAX_TENANTS,
        admit::Rules,
        tenants::{TenantHolds, TenantSlot},
    },
    capacity::{Chunks, FreeStack, Link, Reason, Refusal},
    sync::atomic::{
        AtomicI64, AtomicU8, AtomicU16, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// The slots for the requests of one thread (or a few).
///
/// A slot is used again and again, so that what the two halves of a hold share costs no allocation, and each half reaches
/// it by a pointer of its own: a reference count that all requests shared would have every core fight for it.
pub(in crate::admission) struct Pool<C> {
    home: Arc<Home<C>>,
    slots: Chunks<OnceLock<Arc<Slot<C>>>>,
}

/// What slots come back to, and what a hold needs when it ends.
pub(super) struct Home<C> {
    free: FreeStack,
    pub(super) rules: Arc<Rules>,
    pub(super) context: Arc<C>,
}

/// Where the two halves of a hold meet.
///
/// On cache lines of its own: requests of different threads must not slow each other down.
#[repr(align(64))]
pub(super) struct Slot<C> {
    pub(super) home: Arc<Home<C>>,
    index: u32,
    link: Link,
    /// Bits of halves that are gone, and what they told.
    pub(super) gone: AtomicU8,
    /// Scopes of which an inode is held, a bit each.
    pub(super) inodes: AtomicU8,
    /// Why the body was cut off: 0, or 1 + the reason's place + the scope's place × 256.
    pub(super) tripped: AtomicU16,
    pub(super) growth: Growth,
    /// What is held of each scope and not closed yet. Written by the body's half while it lives.
    pub(super) left: [AtomicU64; MAX_SCOPES],
    /// What is reserved of tenants.
    pub(super) tenants: [TenantSlot; MAX_TENANTS],
    /// What is stored whatever came.
    pub(super) declared: AtomicU64,
    /// What the body handed on; told by its half when it goes.
    pub(super) relayed: AtomicU64,
    /// What the handler said, if it did ([`TOLD`]).
    pub(super) told: AtomicI64,
    /// Requests that were admitted to this slot. Here only its user writes, so that counting takes no locked instruction.
    admitted: AtomicU64,
}

pub(super) const BODY: u8 = 1;
pub(super) const RESPONSE: u8 = 2;
/// The body was asked for data: something may have been written.
pub(super) const POLLED: u8 = 4;
/// The response says that what came is stored.
pub(super) const SUCCEEDED: u8 = 8;
/// The handler told what is stored.
pub(super) const TOLD: u8 = 16;

/// The pools of one layer.
#[derive(Debug)]
pub(in crate::admission) struct Pools<C>(Box<[Pool<C>]>);

impl<C> Pools<C> {
    /// One pool for each of a number of threads.
    pub(in crate::admission) fn new(rules: &Arc<Rules>, context: &Arc<C>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let home = || Home {
            free: FreeStack::default(),
            rules: rules.clone(),
            context: context.clone(),
        };
        let pool = || Pool {
            home: Arc::new(home()),
            slots: Chunks::new(),
        };
        let number = cores.next_power_of_two().min(64);
        Self((0..number).map(|_| pool()).collect())
    }

    /// The one for this thread.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "their number is a power of two, so the mask stays below it"
    )]
    pub(in crate::admission) fn own(&self) -> &Pool<C> {
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
        &self.0[place.unwrap_or(0) & (self.0.len() - 1)]
    }

    /// Requests that were admitted.
    pub(in crate::admission) fn admitted(&self) -> u64 {
        self.0
            .iter()
            .flat_map(Pool::slots)
            .map(|slot| slot.admitted.load(Relaxed))
            .sum()
    }
}

impl<C> Pool<C> {
    /// Takes what is wished of all scopes or of none.
    #[inline(always)]
    pub(in crate::admission) fn try_hold(&self, wish: &Wish) -> Option<Hold<C>> {
        self.reserve(wish).ok()
    }

    /// The same, or the refusal; a sample is asked for then.
    pub(in crate::admission) fn hold(&self, wish: &Wish) -> Result<Hold<C>, Refusal> {
        self.reserve(wish).map_err(|(place, reason)| {
            let scope = self.home.rules.scopes.get(place);
            if let Some(scope) = scope {
                scope.account().refresh();
            }
            self.home.rules.refusal(reason, scope.map(|_| place), Some(wish.bytes))
        })
    }

    /// Otherwise tells which scope had not enough, and why. (One beyond the last: there was no slot.)
    #[inline(always)]
    fn reserve(&self, wish: &Wish) -> Result<Hold<C>, (usize, Reason)> {
        let rules = &*self.home.rules;
        let Some(slot) = self.take() else {
            return Err((MAX_SCOPES, Reason::Space));
        };
        for (place, (scope, left)) in rules.scopes.iter().zip(&slot.left).enumerate() {
            let taken = scope
                .amount(wish.bytes, wish.priority)
                .and_then(|amount| scope.reserve(amount, wish.priority));
            match taken {
                Ok(taken) => {
                    left.store(taken.bytes, Relaxed);
                    if taken.inode {
                        slot.inodes.store(slot.inodes.load(Relaxed) | 1 << place, Relaxed);
                    }
                }
                Err(reason) => {
                    slot.give_back(place);
                    return Err((place, reason));
                }
            }
        }
        slot.admitted.store(slot.admitted.load(Relaxed) + 1, Relaxed);
        Ok(Hold::new(slot, wish))
    }

    /// Takes nothing of any scope, and of tenants what is held already. `None` when there is no slot; nothing is held then.
    pub(in crate::admission) fn hold_tenants(&self, wish: &Wish, holds: &mut TenantHolds) -> Option<Hold<C>> {
        let Some(slot) = self.take() else {
            holds.roll_back(&self.home.rules, wish.bytes);
            return None;
        };
        for left in &slot.left {
            left.store(0, Relaxed);
        }
        let mut hold = Hold::new(slot, wish);
        hold.body.unbind();
        hold.charge(holds, wish);
        Some(hold)
    }

    /// All slots, in use or not.
    fn slots(&self) -> impl Iterator<Item = &Slot<C>> {
        (0..self.slots.made()).filter_map(|index| Some(&**self.slots.at(index).get()?))
    }

    /// A slot for the caller's sole use. `None` when half a thousand million are in use.
    #[inline(always)]
    fn take(&self) -> Option<&Arc<Slot<C>>> {
        let made = |index| self.slots.at(index).get_or_init(|| self.make(index));
        match self.home.free.pop(made, |slot| &slot.link) {
            Some((_, slot)) => Some(slot),
            None => self.slots.make().map(made),
        }
    }

    #[cold]
    fn make(&self, index: u32) -> Arc<Slot<C>> {
        Arc::new(Slot {
            home: self.home.clone(),
            index,
            link: Link::default(),
            gone: AtomicU8::default(),
            inodes: AtomicU8::default(),
            tripped: AtomicU16::default(),
            growth: Growth::default(),
            left: Default::default(),
            tenants: Default::default(),
            declared: AtomicU64::default(),
            relayed: AtomicU64::default(),
            told: AtomicI64::default(),
            admitted: AtomicU64::default(),
        })
    }
}

impl<C> Slot<C> {
    pub(super) fn rules(&self) -> &Rules {
        &self.home.rules
    }

    #[expect(clippy::indexing_slicing, reason = "places of ledgers come from counting them")]
    pub(super) fn tenants_at(&self, at: usize) -> &TenantSlot {
        &self.tenants[at]
    }

    /// One side is gone; whoever goes last ends the hold.
    #[inline(always)]
    pub(super) fn leave(&self, side: u8, flags: u8) {
        let mine = side | flags;
        let other = (BODY | RESPONSE) ^ side;
        let mut before = self.gone.load(Acquire);
        if before & other == 0 {
            before = self.gone.fetch_or(mine, AcqRel);
        }
        if before & other != 0 {
            self.end(before | mine);
        }
    }

    /// Gives everything back: as refund when certainly nothing was written, else as closed. What is stored stays on the
    /// tenants' accounts.
    #[inline]
    fn end(&self, flags: u8) {
        let polled = flags & POLLED != 0;
        let rules = &*self.home.rules;
        if !rules.tenants.is_empty() {
            self.settle(flags);
        }
        for (scope, left) in rules.scopes.iter().zip(&self.left).rev() {
            let amount = left.load(Relaxed);
            if amount > 0 {
                if polled {
                    scope.account().close(amount);
                } else {
                    scope.account().bytes.refund(amount);
                }
            }
        }
        if self.inodes.load(Relaxed) != 0 {
            self.end_inodes(polled);
        }
        self.tripped.store(0, Relaxed);
        self.gone.store(0, Relaxed);
        self.home.free.push(self.index, &self.link);
    }

    /// Nothing is held after all: what was reserved of the first scopes goes back, in reverse order.
    #[cold]
    fn give_back(&self, first: usize) {
        for (scope, left) in self.rules().scopes.iter().zip(&self.left).take(first).rev() {
            scope.account().bytes.refund(left.load(Relaxed));
        }
        if self.inodes.load(Relaxed) != 0 {
            self.end_inodes(false);
        }
        self.home.free.push(self.index, &self.link);
    }

    /// Rare: inodes are counted only where few are left.
    #[cold]
    fn end_inodes(&self, polled: bool) {
        let inodes = self.inodes.swap(0, Relaxed);
        for (place, scope) in self.rules().scopes.iter().enumerate().rev() {
            if inodes & 1 << place != 0 {
                if polled {
                    scope.account().inodes.close(1);
                } else {
                    scope.account().inodes.refund(1);
                }
            }
        }
    }

    fn settle(&self, flags: u8) {
        let relayed = self.relayed.load(Relaxed);
        let stored = if flags & TOLD != 0 {
            self.told.load(Relaxed)
        } else if flags & SUCCEEDED != 0 {
            i64::try_from(relayed.max(self.declared.load(Relaxed))).unwrap_or(i64::MAX)
        } else {
            0
        };
        for (ledger, slot) in self.rules().tenants.iter().zip(&self.tenants).rev() {
            if let Some((place, reserved)) = slot.take() {
                ledger.core().settle(place, reserved, stored);
            }
        }
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Slot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
