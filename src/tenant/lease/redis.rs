mod engine;
mod failure;
#[cfg(fuzzing)]
pub mod fuzz;
mod key;
mod policy;
mod stored;
mod wire;

use std::{fmt, time::Duration};

use redis::{Client, ConnectionInfo, ProtocolVersion};

use super::{LeaseStore, Record, SyncReply, SyncRequest};
use crate::tenant::{Limit, StoreError, StoreErrorKind};
use engine::{Engine, Settings};

/// Leases meet in Redis or Valkey: one for all nodes.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_storage_guard::{Leasing, Ledger, Limit, RedisStore};
///
/// let store = RedisStore::new("redis://:secret@redis.internal:6379/0")?;
/// let quotas = Ledger::builder()
///     .default_limit(Limit::bytes(10 << 30))
///     .leasing(Leasing::new(store).node("web-1"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// # The engine
///
/// A single primary, with replicas or without, of Redis 6.2 or later or of Valkey. A Redis Cluster is not supported, because
/// the client for it is another one; what such a cluster's nodes answer becomes an error that says so. Behind an address
/// that follows the primary (a service, a proxy, a managed endpoint) a failover needs nothing: an answer of `READONLY` or a
/// broken connection makes the next call connect anew.
///
/// The engine needs the `maxmemory-policy` `noeviction` if it has a `maxmemory`, and says so by `INFO` or `CONFIG GET`; one
/// that evicts, or does not tell, is refused with every new connection.
///
/// Keep an append-only file (`appendonly yes`), so that a restart loses a second at most. Nodes tell sums, so an engine
/// that comes back without its latest writes, or a promoted replica that was behind, hears them again from every node that
/// has stored something for the tenant within three times the [`ttl`](crate::Leasing::ttl). What was told before comes back
/// when somebody [measures](crate::Ledger::scan).
///
/// | its user needs | for |
/// |---|---|
/// | `+evalsha +script\|load +hgetall +hset +hdel +time` | each call |
/// | `+info`, or `+config\|get` | seeing that nothing is evicted |
/// | `~PREFIX:*` | one hash a tenant, `PREFIX:{TENANT}` |
///
/// # Figures
///
/// Scripts of Redis count exactly below 2^53 bytes (8 PiB). A limit, a share or bytes under way that reach it are refused,
/// for that tenant only, with [`SyncReply::Failed`]. To be *unlimited* is allowed, and goes as far as can be counted.
pub struct RedisStore {
    settings: Settings,
    /// Missing at first, and after an error.
    engine: Option<Engine>,
}

impl RedisStore {
    /// A store at this URL with the default settings.
    ///
    /// # Errors
    ///
    /// As [`RedisStoreBuilder::build`].
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).build()
    }

    /// Settings for a store at this URL: `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, or
    /// `unix:///PATH[?db=DATABASE&user=USER&pass=PASSWORD]`. `rediss://` means TLS, for which your own dependency on the
    /// crate `redis` has to turn a feature like `tls-rustls` on.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.to_owned(),
            prefix: "sg".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            trust_eviction_policy: false,
        }
    }

    /// Connects now rather than with the first call, so that a mistake shows when a program starts. A store that is
    /// connected already stays so.
    ///
    /// # Errors
    ///
    /// When the engine cannot be reached, or is set up in a way that would lose usage.
    pub fn connect(&mut self) -> Result<(), StoreError> {
        self.with_engine(|_| Ok(()))
    }

    /// What is on record of a tenant, for tools and tests. `None` is not the same as nothing stored.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not what was put there.
    pub fn record(&mut self, tenant: &str) -> Result<Option<Record>, StoreError> {
        self.with_engine(|engine| engine.record(tenant))
    }

    /// Instead of the engine's clock.
    #[cfg(any(test, feature = "test-util"))]
    #[doc(hidden)]
    pub fn set_now(&mut self, now: Duration) {
        self.settings.now = Some(now);
        if let Some(engine) = &mut self.engine {
            engine.set_now(now);
        }
    }

    /// A connection that saw an error is not used again.
    fn with_engine<T>(&mut self, work: impl FnOnce(&mut Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut engine = match self.engine.take() {
            Some(engine) => engine,
            None => connect(&self.settings)?,
        };
        let done = work(&mut engine)?;
        self.engine = Some(engine);
        Ok(done)
    }
}

fn connect(settings: &Settings) -> Result<Engine, StoreError> {
    let mut engine = Engine::connect(settings)?;
    if !settings.trust_eviction_policy {
        policy::check(&mut engine)?;
    }
    engine.load_script()?;
    Ok(engine)
}

impl LeaseStore for RedisStore {
    fn sync(&mut self, requests: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
        self.with_engine(|engine| engine.sync(requests))
    }

    fn set_limit(&mut self, tenant: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        self.with_engine(|engine| engine.set_limit(tenant, limit))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.settings.address)
            .field("prefix", &self.settings.prefix)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`RedisStore`].
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    trust_eviction_policy: bool,
}

impl RedisStoreBuilder {
    /// What the keys begin with, so that several programs can share an engine. Default: `sg`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a connection may take, to each address of the host, and then to log in. The name's resolution is not
    /// included. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the engine may take for an answer, or for all answers to 256 tenants' requests. Default: 1 s.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Does not look whether the engine evicts keys. For engines that do not tell, and for `volatile-*` policies, which
    /// leave keys alone that never expire, as these.
    pub fn trust_eviction_policy(mut self) -> Self {
        self.trust_eviction_policy = true;
        self
    }

    /// Makes the store. It connects with the first call, or by [`RedisStore::connect`].
    ///
    /// # Errors
    ///
    /// When the URL or a setting makes no sense. The error does not repeat the URL.
    pub fn build(self) -> Result<RedisStore, StoreError> {
        let rejected = |why: &str| StoreError::new(StoreErrorKind::Rejected, why);
        if self.prefix.contains(['{', '}']) {
            return Err(rejected("a prefix has no braces: they are for the tenant"));
        }
        if self.connect_timeout.is_zero() || self.response_timeout.is_zero() {
            return Err(rejected("a timeout of zero leaves no time at all"));
        }
        let info: ConnectionInfo = self.url.parse().map_err(|error: redis::RedisError| {
            let message = if self.url.starts_with("rediss:") || self.url.starts_with("valkeys:") {
                "the URL of Redis is not understood; for TLS, your own dependency on the crate `redis` has to turn a feature \
                 like `tls-rustls` on"
            } else {
                "the URL of Redis is not understood: it is like `redis://HOST:PORT/DATABASE` or `unix:///PATH`"
            };
            rejected(message).with_source(error)
        })?;
        // The name and version of the library are two more answers to wait for.
        let redis = info
            .redis_settings()
            .clone()
            .set_skip_set_lib_name()
            .set_protocol(ProtocolVersion::RESP2);
        let info = info.set_redis_settings(redis);
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(|error| failure::describe(&address, error))?;
        Ok(RedisStore {
            settings: Settings {
                client,
                address,
                prefix: self.prefix,
                connect_timeout: self.connect_timeout,
                response_timeout: self.response_timeout,
                trust_eviction_policy: self.trust_eviction_policy,
                now: None,
            },
            engine: None,
        })
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}
