//! `/proc/self/cgroup`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::membership;

fuzz_target!(|text: &[u8]| {
    let Some((v1, v2)) = membership(text) else { return };
    for path in [v1, v2].into_iter().flatten() {
        assert!(path.starts_with(b"/"));
        let line = [&b"0::"[..], &path].concat();
        assert_eq!(membership(&line), Some((None, Some(path))));
    }
});
