//! Made-up houses: each rule can be broken, and what is allowed passes.

use crate::{House, LINES, Source, too_long};

const LIB: &str = "
    mod admission; mod capacity; mod guard; mod observe; mod probe; mod respond; mod tenant;
    #[cfg(any(test, feature = \"test-util\"))]
    pub mod test_util;
    pub use admission::{FailurePolicy, event::{self as events, Event}};
    pub use capacity::Reading;
    pub use guard::{StorageGuard, Layer as StorageGuardLayer};
    type BoxError = Box<dyn std::error::Error>;
";

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn complaints(path: &str, text: &str) -> Vec<String> {
    House::read(&[source("lib.rs", LIB), source(path, text)]).complaints()
}

fn refused(path: &str, text: &str, complaint: &str) {
    assert_eq!(complaints(path, text), [format!("{path}:{complaint}")], "{text}");
}

fn allowed(path: &str, text: &str) {
    assert_eq!(complaints(path, text), [""; 0], "{text}");
}

#[test]
fn each_floor_may_import_those_below() {
    let floors = [
        "capacity",
        "probe",
        "tenant",
        "admission",
        "respond",
        "guard",
        "observe",
        "test_util",
    ];
    let may = |from: usize, to: usize| match (from, to) {
        _ if from == to => true,
        (6.., _) => true,
        (_, 6..) => false,
        (2, 1) => false,
        _ => to < from,
    };
    for (from, folder) in floors.iter().enumerate() {
        for (to, imported) in floors.iter().enumerate() {
            let (path, text) = (format!("{folder}/a.rs"), format!("use crate::{imported}::Thing;"));
            if may(from, to) {
                allowed(&path, &text);
            } else {
                refused(
                    &path,
                    &text,
                    &format!("1: `{folder}` imports `{imported}` ({imported}::Thing)"),
                );
            }
        }
    }
}

#[test]
fn every_way_to_write_an_import_is_seen() {
    let guard = "1: `probe` imports `guard` (guard::Thing)";
    refused("probe/mod.rs", "use crate::guard::Thing;", guard);
    refused("probe/mod.rs", "use super::guard::Thing;", guard);
    refused("probe/a.rs", "use super::super::guard::Thing;", guard);
    refused("probe/a/b.rs", "use self::super::super::super::guard::Thing;", guard);
    refused("probe/mod.rs", "mod inner { use super::super::guard::Thing; }", guard);
    refused(
        "probe/mod.rs",
        "mod a { } mod inner { fn f() { if true { super::super::guard::Thing; } } }",
        guard,
    );
    refused(
        "probe/a.rs",
        "use crate::{capacity::{Reading, State}, guard::{Thing}};",
        guard,
    );
    refused(
        "probe/a.rs",
        "use {crate::capacity::Reading, crate::guard::Thing as Other};",
        guard,
    );
    refused("probe/a.rs", "use tower_storage_guard::guard::Thing;", guard);
    refused("probe/a.rs", "pub(crate) use crate::guard::Thing;", guard);
    refused(
        "probe/a.rs",
        "pub(in crate::probe) fn f() -> crate::guard::Thing { g() }",
        guard,
    );
    refused("probe/a.rs", "fn f(_: &dyn Fn(crate::guard::Thing)) {}", guard);
    refused(
        "probe/a.rs",
        "fn f() { crate::guard::Thing::<u8>::new() }",
        "1: `probe` imports `guard` (guard::Thing)",
    );
    refused("probe/a.rs", "macro_rules! m { () => { $crate::guard::Thing } }", guard);
    refused(
        "probe/a.rs",
        "use crate::guard::*;",
        "1: `probe` imports `guard` (guard::*)",
    );
    refused(
        "probe/a.rs",
        "use crate::guard as up;",
        "1: `probe` imports `guard` (guard)",
    );
    let several = "use crate::{\n    // first\n    guard::{A, b::B},\n    respond,\n};";
    assert_eq!(
        complaints("probe/a.rs", several),
        [
            "probe/a.rs:3: `probe` imports `guard` (guard::A)",
            "probe/a.rs:3: `probe` imports `guard` (guard::b::B)",
            "probe/a.rs:4: `probe` imports `respond` (respond)",
        ]
    );
}

#[test]
fn a_name_at_the_root_counts_as_its_folder() {
    refused(
        "probe/a.rs",
        "use crate::FailurePolicy;",
        "1: `probe` imports `admission` (FailurePolicy)",
    );
    refused(
        "probe/a.rs",
        "use crate::Event;",
        "1: `probe` imports `admission` (Event)",
    );
    refused(
        "probe/a.rs",
        "use crate::events::X;",
        "1: `probe` imports `admission` (events::X)",
    );
    refused(
        "respond/a.rs",
        "fn f(_: crate::StorageGuardLayer) {}",
        "1: `respond` imports `guard` (StorageGuardLayer)",
    );
    refused(
        "probe/a.rs",
        "use crate::Nowhere;",
        "1: `Nowhere` is not found in lib.rs",
    );
    allowed("probe/a.rs", "use crate::{BoxError, Reading};");
    allowed("respond/a.rs", "use crate::{Event, FailurePolicy};");
}

#[test]
fn the_root_is_not_taken_in_as_a_whole() {
    refused("probe/a.rs", "use crate::*;", "1: takes in the whole crate root");
    refused("probe/a.rs", "use crate as root;", "1: takes in the whole crate root");
    refused("probe/mod.rs", "use super as root;", "1: takes in the whole crate root");
    refused(
        "probe/a.rs",
        "use crate::{self as root};",
        "1: takes in the whole crate root",
    );
    refused("probe/mod.rs", "use super::*;", "1: takes in the whole crate root");
    refused(
        "probe/mod.rs",
        "use super::super::guard;",
        "1: climbs above the crate root",
    );
    let house = House::read(&[source("lib.rs", "mod guard;\npub use guard::*;")]);
    assert_eq!(house.complaints(), ["lib.rs:2: names what it re-exports, one by one"]);
}

#[test]
fn a_new_folder_needs_a_floor() {
    refused(
        "cellar/a.rs",
        "use crate::capacity::Reading;",
        "1: `cellar` has no floor: give it one in this test",
    );
    refused(
        "cellar.rs",
        "use crate::capacity::Reading;",
        "1: `cellar` has no floor: give it one in this test",
    );
}

#[test]
fn nothing_gives_up_outside_tests() {
    refused("probe/a.rs", "fn f() {\n    g().unwrap()\n}", "2: `unwrap`");
    refused("probe/a.rs", "fn f() { g().map(Option::unwrap) }", "1: `unwrap`");
    refused("test_util/a.rs", "fn f() { g().unwrap() }", "1: `unwrap`");
    refused("lib.rs", "fn f() { todo!() }", "1: `todo!`");
    refused(
        "probe/a.rs",
        "fn f() { unimplemented!(\"later\") }",
        "1: `unimplemented!`",
    );
    allowed("probe/a.rs", "fn f() { g().unwrap_or(1); h.unwrap_or_else(|| todo); }");
}

#[test]
fn no_file_escapes() {
    refused(
        "probe/a.rs",
        "#[path = \"b.rs\"]\nmod c;",
        "2: `#[path]` hides a file from this test",
    );
    refused("probe/a.rs", "include!(\"../guard/a.rs\");", "1: `include!`");
    allowed("probe/a.rs", "const TEXT: &str = include_str!(\"a.txt\");");
}

#[test]
fn comments_and_literals_import_nothing() {
    allowed(
        "probe/a.rs",
        "/// [`Guard`](crate::guard::Guard), `x.unwrap()`\n//! crate::guard::X\nfn f() {}",
    );
    allowed(
        "probe/a.rs",
        "/* crate::guard::X /* crate::guard::X */ crate::guard::X */ fn f() {}",
    );
    allowed(
        "probe/a.rs",
        r##"const A: &str = "\" crate::guard::X"; const B: &str = r#"" crate::guard::X"#;"##,
    );
    allowed(
        "probe/a.rs",
        r#"const A: &[u8] = b"crate::guard::X"; const B: &CStr = c"todo!()";"#,
    );
    // What comes after them is seen again.
    let after = [
        "/* /* */ */",
        "//\n",
        "const A: &str = \"\\\\\";",
        "const A: &str = r#\"\"\\\"#;",
        "const A: char = '\"';",
        "const A: char = '\\'';",
        "const A: u8 = b'\"';",
        "const A: u8 = b'\\\\';",
        "fn f<'a>(_: &'a str) {}",
        "const A: (char, char) = ('\\\"', '\"');",
        "const A: &str = br##\"\"#\"##;",
        "struct r { br: u8, c: u8 }",
    ];
    for text in after {
        let found = complaints("probe/a.rs", &format!("{text} use crate::guard::Thing;"));
        assert_eq!(found.len(), 1, "{text}");
    }
}

#[test]
fn tests_may_import_anything() {
    allowed(
        "probe/a.rs",
        "#[cfg(test)]\nmod tests { use crate::guard::X; fn f() { todo!(); g().unwrap(); } }",
    );
    allowed(
        "probe/a.rs",
        "#[cfg(all(test, unix))] mod tests { use crate::guard::X; }",
    );
    allowed(
        "probe/a.rs",
        "#[cfg(test)] #[allow(unused)] pub(crate) use crate::guard::{X, Y};",
    );
    allowed("probe/a.rs", "struct S { #[cfg(test)] a: crate::guard::X, b: u8 }");
    allowed("probe/a.rs", "#![cfg(test)]\nuse crate::guard::X;");
    // Only they, and not what stands behind them.
    let seen = [
        "#[cfg(test)] mod tests { fn f() {} }",
        "#[cfg(test)] fn f<A, B>(a: A, b: B) { { } }",
        "#[cfg(test)] use a::B;",
        "#[cfg(storage_guard_loom)] mod models;",
        "#[cfg(test)] use a::{B, c::{D}};",
        "#[cfg(test)] mod tests;",
        "#[cfg(any(test, unix))]",
        "#[cfg(not(test))]",
        "#[cfg(all(unix, not(test)))]",
        "#[cfg_attr(test, allow(dead_code))]",
        "#[test]",
        "struct S { #[cfg(test)] a: u8, b: u8 }",
        "struct S { #[cfg(test)] a: u8 }",
    ];
    for text in seen {
        let found = complaints("probe/a.rs", &format!("{text} pub use crate::guard::Thing;"));
        assert_eq!(
            found,
            ["probe/a.rs:1: `probe` imports `guard` (guard::Thing)"],
            "{text}"
        );
    }
}

#[test]
fn a_test_module_may_be_a_file() {
    let house = |declared: &str| {
        let files = [
            source("lib.rs", LIB),
            source("probe/a.rs", declared),
            source("probe/a/tests.rs", "mod deeper;\nuse crate::guard::X;"),
            source("probe/a/tests/deeper.rs", "use crate::guard::X;"),
            source("probe/a/tests_of_users.rs", "use crate::respond::X;"),
        ];
        House::read(&files).complaints().len()
    };
    assert_eq!(house("#[cfg(test)] mod tests; mod tests_of_users;"), 1);
    assert_eq!(
        house("#[cfg(test)] #[rustfmt::skip] pub(crate) mod tests; mod tests_of_users;"),
        1
    );
    assert_eq!(house("mod tests; mod tests_of_users;"), 3);
}

#[test]
fn a_long_file_is_named() {
    let long = [
        source("probe/a.rs", &"\n".repeat(LINES - 1)),
        source("probe/b.rs", &"\n".repeat(LINES)),
    ];
    assert_eq!(too_long(&long), ["probe/b.rs: 500 lines, must be under 500"]);
}
