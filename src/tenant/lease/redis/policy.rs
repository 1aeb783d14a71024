use redis::{RedisError, Value};

use super::{engine::Engine, failure, wire::text};
use crate::tenant::{StoreError, StoreErrorKind};

/// Refuses an engine that would throw records away when its memory is full: it would look as if nothing were stored.
pub(super) fn check(engine: &mut Engine) -> Result<(), StoreError> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let told = match engine.ask_one(info) {
        Ok(info) => text(&info).map(Told::by_info).unwrap_or_default(),
        Err(error) if failure::is_forbidden(&error) => Told::default(),
        Err(error) => return Err(engine.describe(error)),
    };
    let told = told.or_else(|| {
        Ok(Told {
            maxmemory: ask_config(engine, "maxmemory")?,
            policy: ask_config(engine, "maxmemory-policy")?,
        })
    })?;
    let address = engine.address();
    let complaint = match (told.maxmemory.as_deref(), told.policy.as_deref()) {
        (Some("0"), _) | (_, Some("noeviction")) => return Ok(()),
        (_, Some(policy)) => format!(
            "Redis at {address} has the `maxmemory-policy` {policy}, so it can throw away what is known of a tenant: \
             set it to `noeviction`"
        ),
        (_, None) => format!(
            "Redis at {address} does not say whether it throws keys away when its memory is full: allow its user \
             `+info` or `+config|get`, or vouch for it with `trust_eviction_policy`"
        ),
    };
    Err(StoreError::new(StoreErrorKind::Rejected, complaint))
}

#[derive(Default)]
struct Told {
    maxmemory: Option<String>,
    policy: Option<String>,
}

impl Told {
    fn by_info(info: &str) -> Self {
        let find = |name: &str| {
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        Self {
            maxmemory: find("maxmemory"),
            policy: find("maxmemory_policy"),
        }
    }

    fn or_else(self, other: impl FnOnce() -> Result<Self, StoreError>) -> Result<Self, StoreError> {
        if self.policy.is_some() { Ok(self) } else { other() }
    }
}

/// `None` if the engine does not say.
fn ask_config(engine: &mut Engine, name: &str) -> Result<Option<String>, StoreError> {
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg(name);
    let answer: Result<Value, RedisError> = engine.ask_one(config);
    match answer {
        Ok(Value::Array(parts)) => Ok(parts.get(1).and_then(text).map(str::to_owned)),
        Ok(_) => Ok(None),
        Err(error) if failure::is_forbidden(&error) => Ok(None),
        Err(error) => Err(engine.describe(error)),
    }
}
