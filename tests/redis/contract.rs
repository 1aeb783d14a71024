//! The contract of all ledgers, with leases out of Redis.

use tower_storage_guard::{Leasing, Ledger, Limit, RedisStore};

use crate::{
    ledger_contract::{DEFAULT, keeps_the_contract},
    redis_server::RedisServer,
};

#[test]
fn in_redis() {
    let Some(server) = RedisServer::start() else { return };
    for chunk in [0, 50, 1 << 20] {
        keeps_the_contract(60, || {
            server.command::<()>(&["FLUSHALL"]);
            let store = RedisStore::new(&server.url()).unwrap();
            Ledger::builder()
                .default_limit(Limit::bytes(DEFAULT))
                .leasing(Leasing::new(store).node("a").chunk(chunk))
                .build()
                .unwrap()
        });
    }
}
