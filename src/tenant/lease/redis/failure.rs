use redis::{ErrorKind, RedisError};

use crate::tenant::{StoreError, StoreErrorKind};

/// What is wrong with one tenant's record only; the others of its batch are not concerned.
pub(super) fn of_one_tenant(error: &RedisError) -> Option<(StoreErrorKind, &'static str)> {
    match error.code()? {
        "WRONGTYPE" => Some((StoreErrorKind::Corrupt, "its key holds no hash")),
        "SGCORRUPT" => Some((StoreErrorKind::Corrupt, "its record was changed by others")),
        "SGRANGE" => Some((StoreErrorKind::Rejected, "Redis counts exactly below 2^53 bytes only")),
        _ => None,
    }
}

/// Whether the engine does not know our script, for the first time or any more.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// Whether the engine's user may not call the command, or the engine does not have it.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM"))
        || error
            .detail()
            .is_some_and(|detail| detail.starts_with("unknown command"))
}

/// In words for an operator. None of them come from the URL, except the address, which is without user and password.
pub(super) fn describe(address: &str, error: RedisError) -> StoreError {
    let (kind, what) = classify(&error);
    StoreError::new(kind, format!("Redis at {address} {what}")).with_source(error)
}

fn classify(error: &RedisError) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Corrupt, Rejected, Unavailable};

    if error.is_timeout() {
        return (Unavailable, "does not answer in time");
    }
    match error.kind() {
        ErrorKind::Io => return (Unavailable, "cannot be reached"),
        ErrorKind::AuthenticationFailed => return (Rejected, "does not accept the user or the password of the URL"),
        ErrorKind::InvalidClientConfig => return (Rejected, "cannot be reached like this"),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return (Rejected, "answers with what is not understood"),
        _ => {}
    }
    match error.code().unwrap_or_default() {
        "READONLY" => (Unavailable, "is a replica, and the primary is elsewhere"),
        "LOADING" => (Unavailable, "is still loading its data"),
        "MASTERDOWN" => (Unavailable, "is a replica without its primary"),
        "BUSY" => (Unavailable, "is busy with another's script"),
        "TRYAGAIN" | "CLUSTERDOWN" => (Unavailable, "is a cluster that is not complete now"),
        "OOM" => (
            Unavailable,
            "has no memory left, so nothing is recorded: raise its `maxmemory`",
        ),
        "MISCONF" => (Unavailable, "takes no writes, because it cannot save them to its disk"),
        "NOREPLICAS" => (Unavailable, "takes no writes, because too few replicas are connected"),
        "NOSCRIPT" => (Unavailable, "forgets scripts as soon as they are loaded"),
        "NOAUTH" => (
            Rejected,
            "wants a password: put it into the URL, `redis://:PASSWORD@HOST`",
        ),
        "NOPERM" => (
            Rejected,
            "forbids a command or the keys: its user needs `+evalsha +script|load +hgetall +hset +hdel +time +info` \
             and `~PREFIX:*`",
        ),
        "DENIED" => (Rejected, "is in protected mode: give it a password"),
        "MOVED" | "ASK" | "CROSSSLOT" => (
            Rejected,
            "is a node of a Redis Cluster, which is not supported: use a single primary, with replicas or without",
        ),
        "WRONGTYPE" => (Corrupt, "holds something else at the tenant's key"),
        _ if error
            .detail()
            .is_some_and(|detail| detail.starts_with("max number of clients")) =>
        {
            (Unavailable, "has as many clients as it takes")
        }
        _ => (Rejected, "refuses what it was asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_not_tried_again() {
        let error = RedisError::from((ErrorKind::InvalidClientConfig, "no TLS"));
        let error = describe("host:1", error);
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert_eq!(error.to_string(), "Redis at host:1 cannot be reached like this");
    }
}
