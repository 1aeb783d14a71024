use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{Limit, entry::DEFAULT};

/// Which limit applies to whom. What was set by hand is stronger than a list, and a list than the default.
#[derive(Debug)]
pub(super) struct LimitBook {
    default: AtomicU64,
    lists: RwLock<Lists>,
}

type List = HashMap<Box<str>, Limit>;

#[derive(Debug, Default)]
struct Lists {
    by_hand: List,
    listed: List,
}

impl LimitBook {
    pub(super) fn new(default: Limit) -> Self {
        Self {
            default: AtomicU64::new(default.bound()),
            lists: RwLock::default(),
        }
    }

    #[inline]
    pub(super) fn default_bound(&self) -> u64 {
        self.default.load(Relaxed)
    }

    pub(super) fn set_default(&self, default: Limit) {
        self.default.store(default.bound(), Relaxed);
    }

    /// The bound of a tenant's account: its own, or [`DEFAULT`].
    pub(super) fn bound_of(&self, tenant: &str) -> u64 {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let own = lists.by_hand.get(tenant).or_else(|| lists.listed.get(tenant));
        own.map_or(DEFAULT, |limit| limit.bound())
    }

    pub(super) fn limit_of(&self, tenant: &str) -> Limit {
        match self.bound_of(tenant) {
            DEFAULT => Limit::from_bound(self.default_bound()),
            bound => Limit::from_bound(bound),
        }
    }

    pub(super) fn set_by_hand(&self, tenant: &str, limit: Option<Limit>) {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        match limit {
            Some(limit) => lists.by_hand.insert(tenant.into(), limit),
            None => lists.by_hand.remove(tenant),
        };
    }

    /// Puts another list in place of the former one. Tells who is concerned.
    pub(super) fn set_list(&self, listed: List) -> Vec<Box<str>> {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut lists.listed, listed);
        let changed = |tenant: &str| former.get(tenant) != lists.listed.get(tenant);
        let mut concerned: Vec<_> = former.keys().filter(|tenant| changed(tenant)).cloned().collect();
        let new = lists.listed.keys().filter(|tenant| !former.contains_key(*tenant));
        concerned.extend(new.cloned());
        concerned
    }
}
