//! `memory.stat`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::stat;

fuzz_target!(|text: &[u8]| {
    if let Some((inactive_file, _)) = stat(text) {
        assert_eq!(
            stat(format!("inactive_file {inactive_file}\n").as_bytes()),
            Some((inactive_file, None))
        );
    }
});
