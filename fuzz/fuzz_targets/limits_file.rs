//! A file of tenants' limits: limits, or an error with a line that the file has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_storage_guard::__fuzz_limits::limits;

fuzz_target!(|content: &[u8]| match limits(content) {
    Ok(read) => {
        let limit = |limit: tower_storage_guard::Limit| match limit.as_bytes() {
            Some(bytes) => bytes.to_string(),
            None => "\"unlimited\"".to_owned(),
        };
        let mut text = String::from("# As a program would write it.\n");
        if let Some(default) = read.default {
            text += &format!("default = {}\n", limit(default));
        }
        text += "[tenants]\n";
        for (name, bytes) in &read.tenants {
            assert!((1..=256).contains(&name.len()));
            text += &format!("{} = {}\n", toml::Value::String(name.clone()), limit(*bytes));
        }
        // A basic string of several lines is no key.
        if read.tenants.keys().all(|name| !name.contains('\n')) {
            assert_eq!(limits(text.as_bytes()), Ok(read), "{text}");
        }
    }
    Err((line, words)) => {
        let lines = 1 + content.iter().filter(|&&byte| byte == b'\n').count();
        assert!((1..=lines).contains(&line), "line {line} of {lines}");
        assert!(!words.is_empty());
    }
});
