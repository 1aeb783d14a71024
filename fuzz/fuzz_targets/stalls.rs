//! `/proc/pressure/memory` and its like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::stalls;

fuzz_target!(|text: &[u8]| {
    if let Some(shares) = stalls(text) {
        assert!(shares.iter().all(|share| (0.0..=100.0).contains(share)));
    }
});
