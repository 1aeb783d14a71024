use std::sync::{Arc, PoisonError};

use super::Wish;
use crate::{
    capacity::{Closing, Priority},
    sync::{
        Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    tenant::{Denied, Waiter},
};

/// The body's part of a slot. Only its half looks here while it lives.
#[derive(Debug, Default)]
pub(super) struct Growth {
    pub(super) marks: AtomicU8,
    /// The bytes that are paid for.
    pub(super) reserved: AtomicU64,
    /// The parts of a [`Closing`].
    write_buffer: AtomicU64,
    pub(super) next_close: AtomicU64,
    /// Never contended.
    ahead: Mutex<Option<Box<Ahead>>>,
}

/// The body was asked for a frame, or no body will show whether something is written.
pub(super) const ASKED: u8 = 1;
pub(super) const ESSENTIAL: u8 = 2;
/// Took more than it began with, ahead of what came.
pub(super) const GROWN: u8 = 4;
/// In report-only mode, after the refusal that would have been: reserves no more.
pub(super) const UNBOUND: u8 = 8;
/// There is an [`Ahead`].
pub(super) const AHEAD: u8 = 16;

/// Of a body of unknown length whose tenants' ledgers may have to ask a store: that takes a while, so it is done before a
/// frame is there.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// What is still to be asked for at the edge.
    pub(super) rest: u64,
    pub(super) waiter: Option<(usize, Arc<Waiter>)>,
    /// So much was not to be had, so what was had instead is the last.
    pub(super) edge: Option<Denied>,
}

impl Growth {
    /// For a request that begins.
    #[inline(always)]
    pub(super) fn begin(&self, wish: &Wish) {
        let asked = if wish.is_empty { ASKED } else { 0 };
        let essential = match wish.priority {
            Priority::Usual => 0,
            Priority::Essential => ESSENTIAL,
        };
        self.marks.store(asked | essential, Relaxed);
        self.reserved.store(wish.bytes, Relaxed);
        self.keep(Closing::new(wish.write_buffer));
    }

    #[inline]
    pub(super) fn keep(&self, closing: Closing) {
        let (write_buffer, next_close) = closing.to_parts();
        self.write_buffer.store(write_buffer, Relaxed);
        self.next_close.store(next_close, Relaxed);
    }

    pub(super) fn closing(&self) -> Closing {
        Closing::from_parts(self.write_buffer.load(Relaxed), self.next_close.load(Relaxed))
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    pub(super) fn priority(&self) -> Priority {
        if self.has(ESSENTIAL) {
            Priority::Essential
        } else {
            Priority::Usual
        }
    }

    #[inline]
    pub(super) fn has(&self, mark: u8) -> bool {
        self.marks.load(Relaxed) & mark != 0
    }

    #[inline]
    pub(super) fn mark(&self, mark: u8) {
        self.marks.store(self.marks.load(Relaxed) | mark, Relaxed);
    }

    pub(super) fn put_ahead(&self, ahead: Box<Ahead>) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        self.mark(AHEAD);
    }

    pub(super) fn take_ahead(&self) -> Option<Box<Ahead>> {
        if !self.has(AHEAD) {
            return None;
        }
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Ahead {
    /// Not so much; perhaps less.
    pub(super) fn deny(&mut self, denied: Denied) {
        self.edge = Some(denied);
        self.rest = denied.available();
    }
}
