//! `/proc/self/statm`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::resident_pages;

fuzz_target!(|text: &[u8]| {
    if let Some(pages) = resident_pages(text) {
        assert_eq!(resident_pages(format!("1 {pages} 1\n").as_bytes()), Some(pages));
    }
});
