//! `memory.max`, `memory.high`, `memory.limit_in_bytes`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::limit;

fuzz_target!(|text: &[u8]| {
    if let Some(Some(bytes)) = limit(text) {
        assert_eq!(limit(format!("{bytes}\n").as_bytes()), Some(Some(bytes)));
    }
});
