use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{Limit, balance::DEFAULT};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(limits: &[(&str, u64)]) -> List {
        let limits = limits.iter();
        limits
            .map(|&(tenant, bytes)| (tenant.into(), Limit::bytes(bytes)))
            .collect()
    }

    #[test]
    fn another_list_concerns_those_whose_limit_is_another() {
        let book = LimitBook::new(Limit::bytes(1));
        assert_eq!(book.set_list(list(&[("new", 5)])), ["new"].map(Box::from));
        book.set_list(list(&[("same", 5), ("other", 5), ("gone", 5)]));
        let mut concerned = book.set_list(list(&[("same", 5), ("other", 6), ("new", 7)]));
        concerned.sort();
        assert_eq!(concerned, ["gone", "new", "other"].map(Box::from));
        let limits = ["same", "other", "new", "gone"].map(|tenant| book.limit_of(tenant));
        assert_eq!(limits, [5, 6, 7, 1].map(Limit::bytes));
    }

    #[test]
    fn by_hand_is_stronger_than_a_list_and_a_list_than_the_default() {
        let book = LimitBook::new(Limit::bytes(1));
        book.set_list(list(&[("t", 2)]));
        assert_eq!(book.limit_of("t"), Limit::bytes(2));
        book.set_by_hand("t", Some(Limit::bytes(3)));
        assert_eq!(book.limit_of("t"), Limit::bytes(3));
        book.set_by_hand("t", None);
        assert_eq!(book.limit_of("t"), Limit::bytes(2));
        book.set_default(Limit::UNLIMITED);
        assert_eq!(book.limit_of("t"), Limit::bytes(2));
        assert_eq!(book.limit_of("nobody"), Limit::UNLIMITED);
    }
}
