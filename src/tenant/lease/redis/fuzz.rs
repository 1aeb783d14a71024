//! How answers of an engine are read, for the targets in `fuzz/`.

use super::wire;
use crate::tenant::SyncReply;

/// The script's answer in these bytes of the protocol, if it is one of ours.
pub fn reply(bytes: &[u8], floor: u64) -> Option<SyncReply> {
    wire::reply(&redis::parse_redis_value(bytes).ok()?, floor)
}
