//! What a ledger's file and an engine say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::{
    __fuzz_file::{can_have, decode_limit, decode_record, decode_sealed_record, encode_limit, encode_record},
    __fuzz_redis::reply,
    SyncReply,
};
use tower_storage_guard_fuzz::Input;

const TENANT: &[u8] = b"acme";
const PAGE: u64 = 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    match input.below(5) {
        0 => {
            // The check sum is right, so that what is in it is looked at.
            let Some(record) = decode_sealed_record(TENANT, input.rest()) else {
                return;
            };
            let written = encode_record(TENANT, &record);
            assert_eq!(decode_record(TENANT, &written), Some(record));
            assert_eq!(decode_record(b"other", &written), None);
        }
        1 => {
            // Nobody but us writes what is right to the last bit.
            if let Some(record) = decode_record(TENANT, input.rest()) {
                let _ = encode_record(TENANT, &record);
            }
        }
        2 => {
            if let Some(limit) = decode_limit(TENANT, input.rest()) {
                assert_eq!(decode_limit(TENANT, &encode_limit(TENANT, limit)), Some(limit));
            }
        }
        3 => {
            let length = input.u64();
            if can_have(input.rest(), length) == Some(true) {
                assert!(length >= PAGE);
            }
        }
        _ => {
            let floor = input.u64();
            if let Some(SyncReply::Synced(synced)) = reply(input.rest(), floor) {
                assert!(synced.used == 0 || synced.shortfall == 0);
                assert!(!synced.is_quiet || synced.room == 0);
                if let Some(limit) = synced.limit.as_bytes() {
                    assert!(synced.room <= limit.saturating_sub(synced.used));
                }
            }
        }
    }
});
