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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::Value;

    use super::*;
    use crate::tenant::Seed;

    fn bulk(text: impl ToString) -> Value {
        Value::BulkString(text.to_string().into_bytes())
    }

    /// Anything that an engine, or something else at its address, may answer.
    fn values() -> impl Strategy<Value = Value> {
        let words = "synced|reseeded|unknown|stale|forgotten|superseded|unlimited|-?[0-9]{0,20}|\\PC{0,5}";
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            words.prop_map(bulk),
            words.prop_map(Value::SimpleString),
            any::<Vec<u8>>().prop_map(Value::BulkString),
            Just(Value::Nil),
            Just(Value::Okay),
        ];
        leaf.prop_recursive(2, 20, 9, |value| {
            prop::collection::vec(value, 0..9).prop_map(Value::Array)
        })
    }

    /// Any number, and those where it becomes inexact.
    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..1000_u64, EXACT - 2..EXACT + 2]
    }

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for limit in [0, 1, EXACT - 1]
            .map(Limit::bytes)
            .into_iter()
            .chain([Limit::UNLIMITED])
        {
            assert_eq!(read_limit(&super::limit(limit).expect("exact")), Some(limit));
        }
        for text in [EXACT.to_string().as_str(), "", "-1", "all"] {
            assert_eq!(read_limit(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_ours_or_none(value in values(), floor: u64) {
            if let Some(SyncReply::Synced(synced)) = reply(&value, floor) {
                prop_assert!(synced.room <= synced.limit.bound().saturating_sub(synced.used));
            }
        }

        #[test]
        fn what_the_script_says_is_read(
            hold in 0..EXACT, share: i64, sum in -(EXACT as i64)..EXACT as i64, elsewhere in 0..EXACT, is_quiet: bool,
            limit in prop::option::of(0..EXACT), epoch: u64, floor in 0..EXACT,
        ) {
            let words = limit.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
            let value = Value::Array(vec![
                bulk("synced"), Value::Int(hold as i64), Value::Int(share), Value::Int(sum),
                Value::Int(elsewhere as i64), Value::Int(is_quiet.into()), bulk(&words), bulk(epoch),
            ]);
            let Some(SyncReply::Synced(synced)) = reply(&value, floor) else { panic!("ours") };
            prop_assert_eq!((synced.hold, synced.share, synced.epoch), (hold, share, epoch));
            prop_assert_eq!(i128::from(synced.used) - i128::from(synced.shortfall), i128::from(sum));
            prop_assert_eq!(synced.limit, limit.map_or(Limit::UNLIMITED, Limit::bytes));
            let most = i128::from(limit.unwrap_or(EXACT - 1));
            let room = most - i128::from(sum.max(0)) - i128::from(elsewhere) - i128::from(floor);
            prop_assert_eq!(i128::from(synced.room), if is_quiet { 0 } else { room.max(0) });
        }

        /// Doubles would round what is larger, so it is refused; what is sent is told to the last digit.
        #[test]
        fn nothing_is_sent_that_would_be_rounded(
            share in prop::option::of((numbers(), any::<bool>())), used in prop::option::of(numbers()),
            floor in numbers(), need in numbers(), chunk in numbers(), limit in prop::option::of(numbers()), nanos: u64,
        ) {
            let share = share.map(|(share, frees)| {
                let share = i64::try_from(share).unwrap_or(i64::MAX);
                if frees { -share } else { share }
            });
            let seed = used.map(|used| Seed { epoch: 7, used, measured: true });
            let request = SyncRequest {
                tenant: "t".into(), node: "n".into(), incarnation: 1, sequence: 2, epoch: None, share, floor, need, chunk,
                limit: limit.map_or(Limit::UNLIMITED, Limit::bytes), ttl: Duration::from_nanos(nanos), reap_after: None,
                seed, leave: false,
            };
            let fits = share.is_none_or(|share| share.unsigned_abs() < EXACT)
                && seed.is_none_or(|seed| seed.used < EXACT)
                && floor < EXACT
                && request.limit.as_bytes().is_none_or(|bytes| bytes < EXACT);
            let sent = call("script", "p:", &request, None);
            prop_assert_eq!(sent.is_ok(), fits);
            if let Ok(sent) = sent {
                let words: Vec<_> = sent.args_iter().filter_map(|arg| match arg {
                    redis::Arg::Simple(word) => Some(String::from_utf8_lossy(word).into_owned()),
                    _ => None,
                }).collect();
                prop_assert_eq!(&words[8], &share.map(|share| share.to_string()).unwrap_or_default());
                prop_assert_eq!(&words[9], &floor.to_string());
                prop_assert_eq!(&words[10], &(u128::from(floor) + u128::from(need)).min(EXACT.into()).to_string());
                prop_assert_eq!(&words[11], &chunk.min(EXACT - 1).to_string());
                prop_assert_eq!(&words[13], &nanos.div_ceil(1000).min(FOREVER).to_string());
                // All numbers are exact in a double.
                for number in words[9..].iter().filter_map(|word| word.parse::<u64>().ok()) {
                    prop_assert!(number <= EXACT);
                }
            }
        }
    }
}
