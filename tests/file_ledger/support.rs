use std::{path::Path, time::Duration};

use tower_storage_guard::{FileStore, LeaseStore, Limit, Seed, SyncReply, SyncRequest, Synced};

pub(crate) fn open(path: &Path) -> FileStore {
    FileStore::open(path).expect("opened")
}

/// What a node that has stored `share` bytes of 1 MiB asks for, so that it can take a chunk of 1000 ahead.
pub(crate) fn report(tenant: &str, sequence: u64, share: i64) -> SyncRequest {
    let mut request = SyncRequest::new(tenant, "node");
    request.incarnation = 1;
    request.sequence = sequence;
    request.share = Some(share);
    request.chunk = 1000;
    request.limit = Limit::bytes(1 << 20);
    request.ttl = Duration::from_secs(60);
    request.seed = Some(Seed::new(1, 0, false));
    request
}

pub(crate) fn sync(store: &mut FileStore, request: SyncRequest) -> SyncReply {
    let mut replies = store.sync(&[request]).expect("answered");
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

pub(crate) fn synced(store: &mut FileStore, request: SyncRequest) -> Synced {
    match sync(store, request) {
        SyncReply::Synced(synced) => synced,
        other => panic!("{other:?}"),
    }
}
