use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::{Clock, ManualClock},
    tenant::{LeaseStore, Limit, Record, StoreError, StoreErrorKind, SyncReply, SyncRequest},
};

/// A store of leases in memory, and what can go wrong with one. Clones share the records, so that each of several ledgers
/// can have one, as the nodes of a service share an engine.
///
/// ```
/// use tower_storage_guard::{Leasing, Ledger, Limit, test_util::{FakeStore, ManualClock}};
///
/// let (store, clock) = (FakeStore::new(), ManualClock::new());
/// let node = || {
///     let leasing = Leasing::new(store.with_clock(&clock));
///     let ledger = Ledger::builder().default_limit(Limit::bytes(1000)).leasing(leasing);
///     ledger.manual(clock.clone()).build().unwrap()
/// };
/// let (a, b) = (node(), node());
///
/// let upload = a.reserve("alice", 600);
/// a.step(); // The ledger asks the store.
/// upload.wait().unwrap().commit(600);
///
/// let too_much = b.reserve("alice", 600);
/// b.step();
/// assert!(too_much.wait().is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct FakeStore {
    shared: Arc<Mutex<Shared>>,
    clock: ManualClock,
}

#[derive(Clone, Debug, Default)]
struct Shared {
    records: HashMap<Arc<str>, Record>,
    limits: HashMap<String, Limit>,
    broken: Option<String>,
    lost_replies: usize,
    kept: Option<VecDeque<SyncRequest>>,
    calls: usize,
}

/// What a store held at some time.
#[derive(Clone, Debug)]
pub struct StoreSnapshot {
    records: HashMap<Arc<str>, Record>,
    limits: HashMap<String, Limit>,
}

impl FakeStore {
    /// A store without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same records, by this clock.
    #[must_use]
    pub fn with_clock(&self, clock: &ManualClock) -> Self {
        Self {
            shared: self.shared.clone(),
            clock: clock.clone(),
        }
    }

    /// Fails from now on, with this message.
    pub fn fail(&self, message: &str) {
        self.lock().broken = Some(message.to_owned());
    }

    /// Works again.
    pub fn recover(&self) {
        self.lock().broken = None;
    }

    /// Applies the next so many calls, and fails to say so.
    pub fn lose_replies(&self, calls: usize) {
        self.lock().lost_replies = calls;
    }

    /// Loses all records, and no limits that were set.
    pub fn lose_records(&self) {
        self.lock().records.clear();
    }

    /// What it holds now.
    #[must_use]
    pub fn snapshot(&self) -> StoreSnapshot {
        let shared = self.lock();
        StoreSnapshot {
            records: shared.records.clone(),
            limits: shared.limits.clone(),
        }
    }

    /// Returns to what it held then, as an engine that lost its latest writes.
    pub fn restore(&self, snapshot: &StoreSnapshot) {
        let mut shared = self.lock();
        shared.records.clone_from(&snapshot.records);
        shared.limits.clone_from(&snapshot.limits);
    }

    /// The record of a tenant, if there is one.
    #[must_use]
    pub fn record(&self, tenant: &str) -> Option<Record> {
        self.lock().records.get(tenant).cloned()
    }

    /// How often it was asked to sync.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// From now on keeps a copy of each request.
    pub fn keep_requests(&self) {
        self.lock().kept = Some(VecDeque::new());
    }

    /// The oldest request that was kept.
    pub fn take_request(&self) -> Option<SyncRequest> {
        self.lock().kept.as_mut()?.pop_front()
    }

    /// Applies a request as if it came now: a late one, or one that comes twice.
    pub fn deliver(&self, request: &SyncRequest) -> SyncReply {
        self.lock().apply(request, &self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn apply(&mut self, request: &SyncRequest, clock: &ManualClock) -> SyncReply {
        let limit = self.limits.get(&*request.tenant).copied();
        let mut record = self.records.remove(&request.tenant);
        let reply = Record::sync(&mut record, limit, request, clock.now());
        if let Some(record) = record {
            self.records.insert(request.tenant.clone(), record);
        }
        reply
    }

    fn check(&self) -> Result<(), StoreError> {
        match &self.broken {
            Some(message) => Err(StoreError::new(StoreErrorKind::Unavailable, message.clone())),
            None => Ok(()),
        }
    }
}

impl LeaseStore for FakeStore {
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        let mut shared = self.lock();
        shared.calls += 1;
        shared.check()?;
        if let Some(kept) = &mut shared.kept {
            kept.extend(requests.iter().cloned());
        }
        let replies = requests
            .iter()
            .map(|request| shared.apply(request, &self.clock))
            .collect();
        if shared.lost_replies > 0 {
            shared.lost_replies -= 1;
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the reply was lost"));
        }
        Ok(replies)
    }

    fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        let mut shared = self.lock();
        shared.check()?;
        match limit {
            Some(limit) => shared.limits.insert(tenant.to_owned(), limit),
            None => shared.limits.remove(tenant),
        };
        Ok(())
    }
}
