//! Slots that threads keep for later requests, so that admitting allocates nothing.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use super::slot::{Figures, Slot};
use crate::sync::Arc as SlotArc;

/// How many slots a thread keeps at most.
const KEPT: usize = 8192;
/// How many of them are searched for one of the right layer.
const SEARCHED: usize = 64;

struct KeptSlots {
    /// Usually the next request needs the slot of the last one.
    last: Cell<Option<SlotArc<Slot>>>,
    others: RefCell<Vec<SlotArc<Slot>>>,
}

#[cfg(not(storage_guard_loom))]
thread_local! {
    static SLOTS: KeptSlots = const {
        KeptSlots { last: Cell::new(None), others: RefCell::new(Vec::new()) }
    };
}

// Loom's own ends with each run of a model.
#[cfg(storage_guard_loom)]
loom::thread_local! {
    static SLOTS: KeptSlots = KeptSlots { last: Cell::new(None), others: RefCell::new(Vec::new()) };
}

/// Takes a kept slot of this layer.
#[inline(always)]
pub(super) fn take(figures: &Arc<Figures>) -> Option<SlotArc<Slot>> {
    let take = |slots: &KeptSlots| match slots.last.take() {
        Some(slot) if Arc::ptr_eq(&slot.figures, figures) => Some(slot),
        other => slots.find(figures, other),
    };
    // Fails while the thread ends.
    SLOTS.try_with(take).ok().flatten()
}

/// Keeps a slot whose reservation has ended.
#[inline(always)]
pub(super) fn keep(slot: SlotArc<Slot>) {
    let _ = SLOTS.try_with(|slots| {
        if let Some(other) = slots.last.replace(Some(slot)) {
            slots.push(other);
        }
    });
}

impl KeptSlots {
    #[inline(never)]
    fn find(&self, figures: &Arc<Figures>, other: Option<SlotArc<Slot>>) -> Option<SlotArc<Slot>> {
        if let Some(other) = other {
            self.push(other);
        }
        let mut others = self.others.try_borrow_mut().ok()?;
        let last = others.len().checked_sub(1)?;
        let mut recent = others.iter().rev().take(SEARCHED);
        let place = recent.position(|slot| Arc::ptr_eq(&slot.figures, figures))?;
        Some(others.swap_remove(last - place))
    }

    #[inline(never)]
    fn push(&self, slot: SlotArc<Slot>) {
        if let Ok(mut others) = self.others.try_borrow_mut() {
            if others.len() < KEPT {
                others.push(slot);
            }
        }
    }
}
