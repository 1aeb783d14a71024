//! Settings from a file, in TOML and in JSON: an error, or settings that a running layer can be given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::{Config, StorageGuardLayer, test_util::FakeResource};

const TOTAL: u64 = 1 << 40;
const FREE: u64 = 1 << 30;

fuzz_target!(|bytes: &[u8]| {
    let Some((format, text)) = bytes.split_first() else {
        return;
    };
    let config: Config = if format % 2 == 0 {
        let Ok(text) = std::str::from_utf8(text) else { return };
        let Ok(config) = toml::from_str(text) else { return };
        config
    } else {
        let Ok(config) = serde_json::from_slice(text) else {
            return;
        };
        config
    };
    let disk = FakeResource::new(TOTAL, FREE);
    let layer = StorageGuardLayer::builder().resource(disk.resource()).build().unwrap();
    let live = layer.live_settings();
    let built = live.current();
    let Ok(settings) = config.applied_to(built.clone()) else {
        return;
    };
    match live.apply(&settings) {
        Ok(()) => {
            assert_eq!(live.current(), settings);
            let report = disk.sample();
            let expected = i128::from(FREE) - i128::from(report.floor);
            let bound = i128::from(i64::MAX / 4);
            assert_eq!(i128::from(report.headroom), expected.clamp(-bound - 1, bound));
        }
        Err(error) => {
            assert!(!error.setting().is_empty() && !error.to_string().is_empty());
            assert_eq!(live.current(), built);
        }
    }
    // And back, as if it had never been.
    live.apply(&built).unwrap();
    let report = disk.sample();
    assert_eq!(report.headroom, FREE as i64);
});
