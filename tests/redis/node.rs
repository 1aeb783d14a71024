//! A node that talks to the store by hand.

use std::time::Duration;

use tower_storage_guard::{
    LeaseStore, Limit, RedisStore, RedisStoreBuilder, Seed, StoreError, SyncReply, SyncRequest, Synced,
};

/// The epoch of records that nodes make.
pub(crate) const EPOCH: u64 = (1 << 53) + 1;

pub(crate) struct Node {
    pub(crate) store: RedisStore,
    /// What it says next; the sequence grows by itself.
    pub(crate) says: SyncRequest,
}

impl Node {
    /// One that makes the record of `acme` with nothing stored, under a limit of 1000 bytes.
    pub(crate) fn new(name: &str, url: &str) -> Self {
        Self::with(name, patient(url))
    }

    /// One that gives up soon.
    pub(crate) fn impatient(name: &str, url: &str) -> Self {
        Self::with(name, impatient(url))
    }

    fn with(name: &str, builder: RedisStoreBuilder) -> Self {
        let mut says = SyncRequest::new("acme", name);
        says.incarnation = 1;
        says.share = Some(0);
        says.limit = Limit::bytes(1000);
        says.seed = Some(Seed::new(EPOCH, 0, true));
        Self {
            store: builder.build().expect("a URL"),
            says,
        }
    }

    pub(crate) fn sync(&mut self) -> Result<SyncReply, StoreError> {
        self.says.sequence += 1;
        let mut replies = self.store.sync(std::slice::from_ref(&self.says))?;
        assert_eq!(replies.len(), 1);
        Ok(replies.remove(0))
    }

    /// For a node that is in no doubt.
    pub(crate) fn synced(&mut self) -> Synced {
        match self.sync() {
            Ok(SyncReply::Synced(synced)) => synced,
            other => panic!("not synced: {other:?}"),
        }
    }

    /// Asks for bytes beyond what it keeps, and keeps them if it gets them.
    pub(crate) fn lease(&mut self, bytes: u64) -> u64 {
        self.says.need = bytes;
        self.says.floor = self.synced().hold;
        self.says.need = 0;
        self.says.floor
    }

    /// Stores bytes of its lease.
    pub(crate) fn store(&mut self, bytes: u64) {
        self.says.floor -= bytes;
        let share = self.says.share.as_mut().expect("it knows its share");
        *share += i64::try_from(bytes).expect("few bytes");
    }
}

/// Settings for a store that waits, however busy the machine is.
pub(crate) fn patient(url: &str) -> RedisStoreBuilder {
    let long = Duration::from_secs(60);
    RedisStore::builder(url).connect_timeout(long).response_timeout(long)
}

/// Settings for a store that is to see an engine hang.
pub(crate) fn impatient(url: &str) -> RedisStoreBuilder {
    let short = Duration::from_secs(1);
    RedisStore::builder(url).connect_timeout(short).response_timeout(short)
}
