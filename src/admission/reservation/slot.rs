use std::{
    any::Any,
    fmt,
    ops::Deref,
    pin::Pin,
    sync::{Arc, PoisonError, Weak},
};

use crate::{
    admission::{
        limits::{LimitsCopy, LiveLimits},
        rules::Rules,
        scope::{MAX_SCOPES, Scope},
        tenant_charges::TenantCharges,
    },
    background::{Kept, keep_until},
    capacity::{Priority, Reason, Refusal},
    sync::{
        Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicU8, AtomicU16, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};

/// What one reservation holds. Its holders (the request body, the response future, handles of the handler) each have a
/// reference; the last one ends the reservation and keeps the slot for a later request of its thread.
///
/// On cache lines of its own: requests of different threads must not slow each other down.
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) figures: Arc<Figures>,
    /// The limits when the request was admitted.
    pub(super) limits: LimitsCopy,
    pub(super) is_over: AtomicBool,
    /// Something may have been written, so what is left is closed at the end and not refunded.
    pub(super) may_be_written: AtomicBool,
    /// What the layer notes for the end of the request.
    pub(super) note: AtomicU8,
    /// Scopes of which an inode is held, a bit each.
    pub(super) inodes: AtomicU8,
    /// Bits for what few requests have. Without them nothing in `rare` is looked at.
    pub(super) exceptions: AtomicU16,
    /// Body bytes that are paid for.
    pub(super) reserved: AtomicU64,
    /// Relayed bytes at which the next piece closes.
    pub(super) next_close: AtomicU64,
    /// Bytes that count as written even if the body does not bring them.
    pub(super) kept_at_least: AtomicU64,
    /// Bytes that the body has brought. Set when it is gone.
    pub(super) relayed: AtomicU64,
    /// What is held of each scope and not closed yet. Written by the body alone while it lives.
    pub(super) held: [AtomicU64; MAX_SCOPES],
    /// Requests that this slot has served. Written by admission alone, so that counting takes no locked instruction.
    pub(super) admitted: AtomicU64,
    pub(super) rare: Mutex<Rare>,
}

/// What few requests have.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) tenants: Option<TenantCharges>,
    /// Why the body was cut off.
    pub(super) refusal: Option<Refusal>,
    /// A body that the handler has dropped before its end, kept until the response is decided.
    pub(super) parked_body: Option<Pin<Box<dyn ParkedBody>>>,
    /// What the layer keeps of the request's head.
    pub(super) head: Option<Box<dyn Any + Send>>,
}

/// The rest of a request body, kept from the moment that the handler gets no more of it until the response is decided.
pub(crate) trait ParkedBody: Send {
    /// The response is no refusal, so nobody needs the body any more.
    fn discard(self: Pin<Box<Self>>);

    /// The response is a refusal. What is returned keeps the body until the client can have read it; it is to be dropped
    /// after the response.
    fn keep(self: Pin<Box<Self>>, context: &LayerContext, note: u8) -> Option<Box<dyn Any + Send>>;
}

/// The body was cut off.
pub(super) const CUT_OFF: u16 = 1;
pub(super) const CHARGES_TENANTS: u16 = 2;
pub(super) const HOLDS_INODES: u16 = 4;
pub(super) const PARKS_BODY: u16 = 8;
pub(super) const KEEPS_HEAD: u16 = 16;
pub(super) const ESSENTIAL: u16 = 32;
/// Nothing is reserved, whatever comes: the request goes on although it would have been refused.
pub(super) const UNBOUND: u16 = 64;
/// The response is decided, so a body is not parked for it any more.
pub(super) const ANSWERED: u16 = 128;
/// The handler has a handle, which may outlive the response.
pub(super) const EXPOSED: u16 = 256;
/// The response says that the body is stored.
pub(super) const STORED: u16 = 512;

impl Slot {
    pub(super) fn new(figures: Arc<Figures>) -> Self {
        Self {
            figures,
            limits: LimitsCopy::default(),
            is_over: AtomicBool::new(true),
            may_be_written: AtomicBool::new(false),
            note: AtomicU8::new(0),
            inodes: AtomicU8::new(0),
            exceptions: AtomicU16::new(0),
            reserved: AtomicU64::new(0),
            next_close: AtomicU64::new(0),
            kept_at_least: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
            held: Default::default(),
            admitted: AtomicU64::new(0),
            rare: Mutex::default(),
        }
    }

    /// From now on nothing more is reserved. What comes is counted all the same.
    pub(super) fn unbind(&self) {
        self.set(UNBOUND);
    }

    /// The bits of what the reservation has beyond the usual.
    #[inline(always)]
    pub(super) fn exceptions(&self) -> u16 {
        self.exceptions.load(Acquire)
    }

    /// Sets a bit. Returns the bits before.
    pub(super) fn set(&self, exception: u16) -> u16 {
        self.exceptions.fetch_or(exception, AcqRel)
    }

    pub(super) fn priority(&self) -> Priority {
        if self.exceptions() & ESSENTIAL == 0 {
            Priority::Usual
        } else {
            Priority::Essential
        }
    }

    /// Bytes that the body may relay before it has to pay for a frame or close a piece.
    #[inline(always)]
    pub(super) fn quiet_until(&self) -> u64 {
        if self.exceptions.load(Relaxed) & UNBOUND != 0 {
            return u64::MAX;
        }
        let next_close = self.next_close.load(Relaxed);
        next_close.min(self.reserved.load(Relaxed).saturating_add(1))
    }

    /// Lets a parked body go. If it was cut off, the client has a refusal to read, even if not by this response.
    #[cold]
    pub(super) fn unpark(&self, body: Pin<Box<dyn ParkedBody>>) {
        match self.figures.context() {
            Some(context) if self.exceptions() & CUT_OFF != 0 => drop(body.keep(&context, self.note.load(Relaxed))),
            _ => body.discard(),
        }
    }

    pub(super) fn rare(&self) -> MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The figures that the reservations of one layer have in common.
///
/// Threads keep slots for later requests, and slots keep this. So it owns no sampler, ledger or observer: those end with
/// the layer, whatever idle threads keep.
pub(in crate::admission) struct Figures {
    pub(super) scopes: Box<[Scope]>,
    pub(super) limits: Arc<LiveLimits>,
    context: Weak<LayerContext>,
    /// All slots that exist.
    pub(super) slots: Mutex<Vec<SlotRef>>,
    /// Requests that were admitted to slots which are gone.
    pub(super) admitted: AtomicU64,
}

/// Everything else that a request under way may need. It lives as long as the layer and as any of its requests.
pub(crate) struct LayerContext {
    rules: Arc<Rules>,
    /// What the layer itself needs to answer late.
    pub(crate) response_context: Arc<dyn Any + Send + Sync>,
    pub(in crate::admission) figures: Arc<Figures>,
}

/// What refused a claim, by its place among the scopes (out of range for none of them), and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortage {
    pub(in crate::admission) place: u8,
    pub(in crate::admission) reason: Reason,
}

#[cfg(not(storage_guard_loom))]
type SlotRef = Weak<Slot>;
/// Loom has no weak references, so none is made there.
#[cfg(storage_guard_loom)]
type SlotRef = Weak<crate::sync::Arc<Slot>>;

/// The layer's own reference to its context. Where requests outlive the layer, the context is kept for them.
#[derive(Debug)]
pub(in crate::admission) struct OwnedContext(Arc<LayerContext>);

impl OwnedContext {
    pub(in crate::admission) fn new(
        scopes: Vec<Scope>,
        rules: Rules,
        response_context: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self(Arc::new_cyclic(|context| LayerContext {
            figures: Arc::new(Figures {
                scopes: scopes.into(),
                limits: rules.limits.clone(),
                context: context.clone(),
                slots: Mutex::default(),
                admitted: AtomicU64::new(0),
            }),
            rules: Arc::new(rules),
            response_context,
        }))
    }
}

impl Deref for OwnedContext {
    type Target = Arc<LayerContext>;

    #[inline(always)]
    fn deref(&self) -> &Arc<LayerContext> {
        &self.0
    }
}

impl Drop for OwnedContext {
    fn drop(&mut self) {
        if !self.figures.is_idle() {
            keep_until(Box::new(KeptContext(self.0.clone())));
        }
    }
}

struct KeptContext(Arc<LayerContext>);

impl Kept for KeptContext {
    fn is_needed(&self) -> bool {
        !self.0.figures.is_idle()
    }
}

impl Figures {
    /// Whether no request is under way. Only for a layer that is gone: nothing begins any more, so what is seen to be over
    /// is over, and what began before is seen to have begun.
    fn is_idle(&self) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = slots.iter().filter_map(Weak::upgrade);
        live.all(|slot| slot.is_over.load(Acquire))
    }

    /// The rest of what the layer knows. It is there while a request is under way.
    pub(super) fn context(&self) -> Option<Arc<LayerContext>> {
        self.context.upgrade()
    }

    /// How many requests were admitted.
    pub(in crate::admission) fn admitted(&self) -> u64 {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let live = slots.iter().filter_map(Weak::upgrade);
        let live: u64 = live.map(|slot| slot.admitted.load(Relaxed)).sum();
        live + self.admitted.load(Relaxed)
    }
}

impl Shortage {
    pub(in crate::admission) const fn of_none(reason: Reason) -> Self {
        Self { place: u8::MAX, reason }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The last two holders went at once, so none of them saw that it was alone.
        if !self.is_over.load(Relaxed) {
            self.end();
        }
        self.figures.admitted.fetch_add(self.admitted.load(Relaxed), Relaxed);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl LayerContext {
    pub(in crate::admission) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The refusal by a scope that could never hold so much, if there is one.
    pub(in crate::admission) fn exceeded_scope(&self, bytes: u64, priority: Priority) -> Option<Refusal> {
        let mut scopes = self.figures.scopes.iter().enumerate();
        scopes.find_map(|(place, scope)| {
            let reason = scope.amount(bytes, priority).err()?;
            Some(self.rules.refusal(reason, Some(place), Some(bytes)))
        })
    }

    /// Counts a refusal and emits its event. Returns whether it is enforced.
    pub(crate) fn record_refusal(&self, refusal: &Refusal) -> bool {
        self.rules.record_refusal(refusal)
    }

    /// Whether refusals are only reported.
    pub(crate) fn reports_only(&self) -> bool {
        self.rules.limits.report_only()
    }
}

impl fmt::Debug for LayerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerContext")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{
        admission::counters::Counters,
        capacity::{Charge, Claim, SizeModel},
        test_util::FakeResource,
    };

    fn context(scopes: Vec<Scope>) -> OwnedContext {
        let rules = Rules {
            resources: Box::default(),
            ledgers: Box::default(),
            limits: Arc::default(),
            counters: Counters::default(),
            observers: Box::default(),
        };
        OwnedContext::new(scopes, rules, Arc::new(()))
    }

    fn slots(context: &OwnedContext) -> usize {
        context.figures.slots.lock().map_or(0, |slots| slots.len())
    }

    #[test]
    fn context_is_needed_while_a_request_is_under_way() {
        let context = context(Vec::new());
        let kept = KeptContext(context.clone());
        let reservation = context.figures.reserve(&Claim::default());
        assert!(kept.is_needed());
        drop(reservation);
        assert!(!kept.is_needed());
    }

    #[test]
    fn slots_of_ended_threads_are_forgotten_and_counted() {
        let context = &context(Vec::new());
        let reserve = || context.figures.reserve(&Claim::default());
        let held = [(); 9].map(|()| reserve());
        for _ in 0..100 {
            let ended = thread::scope(|scope| scope.spawn(|| drop(reserve())).join());
            assert!(ended.is_ok());
        }
        assert_eq!(context.figures.admitted(), 109);
        assert!(slots(context) < 40, "{}", slots(context));
        drop(held);
    }

    #[test]
    fn slot_is_found_among_those_of_other_layers() {
        let (ours, other) = (context(Vec::new()), context(Vec::new()));
        let reserve = |context: &OwnedContext| context.figures.reserve(&Claim::default());
        for _ in 0..3 {
            let reservations = [reserve(&ours), reserve(&other), reserve(&other)];
            for reservation in reservations {
                drop(reservation);
            }
        }
        assert_eq!((slots(&ours), slots(&other)), (1, 2));
    }

    /// Neither of two last holders finds itself alone when both go at once.
    #[test]
    fn dropped_slot_ends_its_reservation() {
        let resource = FakeResource::new(100, 100).resource();
        let headroom = || resource.account().bytes.headroom();
        let context = context(vec![Scope::new(&resource, Charge::All, SizeModel::EXACT)]);
        let slot = Slot::new(context.figures.clone());
        slot.limits.update(&context.figures.limits);
        let claim = Claim {
            bytes: 40,
            ..Claim::default()
        };
        slot.begin(&claim);
        assert!(slot.reserve(&claim).is_ok());
        assert_eq!(headroom(), 60);
        drop(slot);
        assert_eq!(headroom(), 100);
    }
}
