use std::time::Duration;

use redis::{Cmd, Value};

use super::key::key;
use crate::tenant::{Limit, SyncReply, SyncRequest, Synced};

/// Redis counts in doubles, which are exact below this.
pub(super) const EXACT: u64 = 1 << 53;
/// About 142 years, in microseconds: with the time since 1970 it stays below 2^53.
const FOREVER: u64 = 1 << 52;

/// The call of our script for one request, or what in it cannot be counted exactly.
///
/// Wishes that are too large are cut down, because so much is never free. What is stored, or under way, or a limit, is
/// never changed on its way: rather it is refused.
pub(super) fn call(
    script: &str,
    prefix: &str,
    request: &SyncRequest,
    now: Option<Duration>,
) -> Result<Cmd, &'static str> {
    let optional = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let flag = |is_set: bool| if is_set { "1" } else { "0" };

    if request.share.is_some_and(|share| share.unsigned_abs() >= EXACT) {
        return Err("the node's share is 2^53 bytes or more, and Redis counts exactly below that only");
    }
    if request.seed.is_some_and(|seed| seed.used >= EXACT) {
        return Err("2^53 bytes or more are stored already, and Redis counts exactly below that only");
    }
    if request.floor >= EXACT {
        return Err("2^53 bytes or more are under way, and Redis counts exactly below that only");
    }
    let limit = limit(request.limit)?;
    let mut call = redis::cmd("EVALSHA");
    call.arg(script)
        .arg(1)
        .arg(key(prefix, &request.tenant))
        .arg(&*request.node)
        .arg(format!("{:020}", request.incarnation))
        .arg(format!("{:020}", request.sequence))
        .arg(optional(request.epoch))
        .arg(request.share.map(|share| share.to_string()).unwrap_or_default())
        .arg(request.floor)
        .arg(request.floor.saturating_add(request.need).min(EXACT))
        .arg(request.chunk.min(EXACT - 1))
        .arg(limit)
        .arg(micros(request.ttl))
        .arg(optional(request.reap_after.map(micros)))
        .arg(optional(request.seed.map(|seed| seed.epoch)))
        .arg(request.seed.map_or(0, |seed| seed.used))
        .arg(flag(request.seed.is_some_and(|seed| seed.measured)))
        .arg(flag(request.leave))
        .arg(optional(now.map(micros)));
    Ok(call)
}

/// A limit as it is stored.
pub(super) fn limit(limit: Limit) -> Result<String, &'static str> {
    match limit.as_bytes() {
        None => Ok("unlimited".to_owned()),
        Some(bytes) if bytes < EXACT => Ok(bytes.to_string()),
        Some(_) => Err(
            "a limit is 2^53 bytes (8 PiB) or more, and Redis counts exactly below that only: \
                        take a lower one, or none",
        ),
    }
}

/// The script's answer, or `None` if it is none of ours.
pub(super) fn reply(value: &Value, floor: u64) -> Option<SyncReply> {
    let Value::Array(parts) = value else { return None };
    let (status, parts) = parts.split_first()?;
    Some(match (text(status)?, parts) {
        ("synced", [hold, share, sum, held_elsewhere, is_quiet, limit, epoch]) => {
            let limit = read_limit(text(limit)?)?;
            let (sum, held_elsewhere) = (signed(sum)?, unsigned(held_elsewhere)?);
            let used = u64::try_from(sum).unwrap_or(0);
            let is_quiet = unsigned(is_quiet)? != 0;
            SyncReply::Synced(Synced {
                hold: unsigned(hold)?,
                // Unlimited is what can be counted.
                room: if is_quiet {
                    0
                } else {
                    [used, held_elsewhere, floor]
                        .into_iter()
                        .fold(limit.bound().min(EXACT - 1), u64::saturating_sub)
                },
                is_quiet,
                share: signed(share)?,
                used,
                shortfall: u64::try_from(-sum).unwrap_or(0),
                held_elsewhere,
                limit,
                epoch: text(epoch)?.parse().ok()?,
            })
        }
        ("reseeded", [epoch]) => SyncReply::Reseeded {
            epoch: text(epoch)?.parse().ok()?,
        },
        ("unknown", []) => SyncReply::Unknown,
        ("stale", []) => SyncReply::Stale,
        ("forgotten", []) => SyncReply::Forgotten,
        ("superseded", []) => SyncReply::Superseded,
        _ => return None,
    })
}

/// A limit as [`limit`] writes it.
pub(super) fn read_limit(text: &str) -> Option<Limit> {
    match text {
        "unlimited" => Some(Limit::UNLIMITED),
        bytes => bytes.parse().ok().filter(|&bytes| bytes < EXACT).map(Limit::bytes),
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn signed(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn unsigned(value: &Value) -> Option<u64> {
    signed(value)?.try_into().ok()
}

/// Rounded up, so that no lease ends before its time.
fn micros(time: Duration) -> u64 {
    let micros = time.as_nanos().div_ceil(1000);
    u64::try_from(micros).unwrap_or(FOREVER).min(FOREVER)
}
