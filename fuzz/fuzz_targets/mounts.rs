//! `/proc/self/mountinfo`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz::mounts;

fuzz_target!(|text: &[u8]| {
    let Some(found) = mounts(text) else { return };
    for (root, point) in found {
        let line = [
            b"1 2 0:3 ",
            &escape(&root)[..],
            b" ",
            &escape(&point),
            b" rw - cgroup2 none rw\n",
        ]
        .concat();
        assert_eq!(mounts(&line), Some(vec![(root, point)]));
    }
});

fn escape(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|byte| format!("\\{byte:03o}").into_bytes())
        .collect()
}
