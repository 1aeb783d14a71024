use std::{collections::btree_map::Entry, ops::Range};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{Limits, LimitsFileErrorKind, error::Flaw};
use crate::tenant::{Limit, is_name};

const DEFAULT: &str = "default";
const TENANTS: &str = "tenants";
const REMEDY: &str = "write a whole number of bytes, or in quotes a size such as \"10 GiB\", or \"unlimited\"";

pub(super) fn parse(content: &[u8]) -> Result<Limits, Flaw> {
    let text = Text(content);
    if content.is_empty() {
        return Err(text.syntax(0, "it is empty: write `[tenants]` if nobody has a limit of his own"));
    }
    let source = std::str::from_utf8(content)
        .map_err(|error| text.syntax(error.valid_up_to(), "this is not UTF-8: save the file in that encoding"))?;
    let document = DeTable::parse(source).map_err(|error| {
        let place = error.span().map_or(0, |span| span.start);
        text.syntax(place, format!("this is not TOML: {}", error.message()))
    })?;

    let mut limits = Limits::default();
    for (key, value) in document.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            (DEFAULT, _) => limits.default = Some(text.limit(DEFAULT, value)?),
            (TENANTS, DeValue::Table(tenants)) => {
                for (tenant, value) in tenants {
                    text.tenant(&mut limits, tenant, value)?;
                }
            }
            (TENANTS, _) => {
                let message = "this must be a table: write `[tenants]` on a line of its own, and the tenants below it";
                return Err(text.invalid(&value.span(), TENANTS, message));
            }
            (other, _) => {
                let message = "this key is not known: there are `default` and, below `[tenants]`, the tenants' names";
                return Err(text.invalid(&key.span(), other, message));
            }
        }
    }
    Ok(limits)
}

/// The content, to find places in.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn tenant(
        &self,
        limits: &mut Limits,
        tenant: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Flaw> {
        let name = tenant.get_ref().as_ref();
        let key = format!("{TENANTS}.{name}");
        if !is_name(name) {
            return Err(self.invalid(&tenant.span(), &key, "a tenant's name has 1 to 256 bytes"));
        }
        if let DeValue::Table(_) = value.get_ref() {
            let message = "this must be a limit, not a table: put a name with a dot in quotes";
            return Err(self.invalid(&value.span(), &key, message));
        }
        let limit = self.limit(&key, value)?;
        match limits.tenants.entry(name.to_owned()) {
            Entry::Vacant(place) => place.insert(limit),
            // The parser has refused it.
            Entry::Occupied(_) => return Err(self.invalid(&tenant.span(), &key, "this name is there twice")),
        };
        Ok(())
    }

    fn limit(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Limit, Flaw> {
        let what = match value.get_ref() {
            DeValue::String(text) => match text.parse() {
                Ok(limit) => return Ok(limit),
                Err(error) => return Err(self.invalid(&value.span(), key, format!("{error}, or \"unlimited\""))),
            },
            DeValue::Integer(integer) => match bytes(integer) {
                Some(bytes) => return Ok(Limit::bytes(bytes)),
                None if integer.as_str().starts_with('-') => "a negative number",
                None => "a number of more than 64 bits",
            },
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a yes or no",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Err(self.invalid(&value.span(), key, format!("{what} is no limit: {REMEDY}")))
    }

    fn syntax(&self, place: usize, message: impl Into<String>) -> Flaw {
        Flaw {
            kind: LimitsFileErrorKind::Syntax,
            line: self.line(place),
            key: None,
            message: message.into(),
        }
    }

    fn invalid(&self, place: &Range<usize>, key: &str, message: impl Into<String>) -> Flaw {
        Flaw {
            kind: LimitsFileErrorKind::Invalid,
            line: self.line(place.start),
            key: Some(shown(key)),
            message: message.into(),
        }
    }

    fn line(&self, place: usize) -> usize {
        1 + self.0.iter().take(place).filter(|byte| **byte == b'\n').count()
    }
}

fn bytes(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A name as it can stand in a line of a log.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(default: Option<Limit>, tenants: &[(&str, Limit)]) -> Limits {
        let tenants = tenants
            .iter()
            .map(|(tenant, limit)| ((*tenant).to_owned(), *limit))
            .collect();
        Limits { default, tenants }
    }

    #[test]
    fn reads_what_is_documented() {
        let content = br#"
            default = "10 GiB"        # optional
            [tenants]
            acme = "500 GiB"
            trial = 0                  # integers are bytes
            internal = "unlimited"
            "acme.example" = 0x10
        "#;
        let expected = limits(
            Some(Limit::bytes(10 << 30)),
            &[
                ("acme", Limit::bytes(500 << 30)),
                ("acme.example", Limit::bytes(16)),
                ("internal", Limit::UNLIMITED),
                ("trial", Limit::bytes(0)),
            ],
        );
        assert_eq!(parse(content).unwrap(), expected);
        for nobody in ["# nothing\n", "\n", "[tenants]", "tenants = {}"] {
            assert_eq!(parse(nobody.as_bytes()).unwrap(), Limits::default(), "{nobody}");
        }
        let inline = parse(b"tenants = { a = 1_000, b = 18446744073709551615 }\r\n").unwrap();
        assert_eq!(
            inline,
            limits(None, &[("a", Limit::bytes(1000)), ("b", Limit::bytes(u64::MAX))])
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        use LimitsFileErrorKind::{Invalid, Syntax};
        let long = format!("[tenants]\n{} = 1", "x".repeat(257));
        for (content, kind, line, key, words) in [
            ("", Syntax, 1, None, "empty"),
            ("\ndefualt = 1", Invalid, 2, Some("defualt"), "not known"),
            ("acme = 1", Invalid, 1, Some("acme"), "[tenants]"),
            ("default = -1", Invalid, 1, Some("default"), "negative"),
            ("default = 1.5", Invalid, 1, Some("default"), "fraction"),
            ("default = inf", Invalid, 1, Some("default"), "fraction"),
            ("default = true", Invalid, 1, Some("default"), "\"unlimited\""),
            ("default = []", Invalid, 1, Some("default"), "list"),
            ("default = 2026-01-01", Invalid, 1, Some("default"), "date"),
            ("[default]", Invalid, 1, Some("default"), "table"),
            ("default = \"a lot\"", Invalid, 1, Some("default"), "64MiB"),
            ("default = \"-1\"", Invalid, 1, Some("default"), "not a size"),
            ("default = 18446744073709551616", Invalid, 1, Some("default"), "64 bits"),
            ("tenants = 5", Invalid, 1, Some("tenants"), "[tenants]"),
            ("[[tenants]]\na = 1", Invalid, 1, Some("tenants"), "table"),
            ("[tenants]\n\na.b = 1", Invalid, 3, Some("tenants.a"), "quotes"),
            ("[tenants.a]\nlimit = 1", Invalid, 1, Some("tenants.a"), "not a table"),
            ("[tenants]\n\"\" = 1", Invalid, 2, Some("tenants."), "1 to 256"),
            (
                "[tenants]\n\"a\\nb\" = -1",
                Invalid,
                2,
                Some("tenants.a\\nb"),
                "negative",
            ),
            (&long, Invalid, 2, None, "1 to 256"),
            ("[tenants]\na = 1\nb = 2\na = 3", Syntax, 4, None, "duplicate"),
            ("default = 1\ndefault = 2", Syntax, 2, None, "duplicate"),
            ("[tenants]\n[tenants]", Syntax, 2, None, "duplicate"),
            ("[tenants]\na = ", Syntax, 2, None, "not TOML"),
            ("default = 10 GiB", Syntax, 1, None, "not TOML"),
        ] {
            let flaw = parse(content.as_bytes()).expect_err(content);
            assert_eq!((flaw.kind, flaw.line), (kind, line), "{content}: {flaw:?}");
            if key.is_some() {
                assert_eq!(flaw.key.as_deref(), key, "{content}");
            }
            assert!(flaw.message.contains(words), "{content}: {}", flaw.message);
        }
        let flaw = parse(b"[tenants]\na = \"\xff\"").unwrap_err();
        assert_eq!((flaw.kind, flaw.line), (Syntax, 2));
        assert!(flaw.message.contains("UTF-8"), "{}", flaw.message);
    }

    /// What is nearly a line of such a file.
    const LINE: &str = concat!(
        "(default|tenants|\\[tenants\\]|a|\"b\")?[ .=]{0,3}",
        "(-?[0-9_x.]{0,9}|\"[0-9a-zA-Z .]{0,6}\"|\\{|\\[)?",
    );

    fn names() -> impl Strategy<Value = String> {
        "\\PC{1,20}"
    }

    proptest! {
        #[test]
        fn any_bytes_are_limits_or_an_error(content: Vec<u8>) {
            let _ = parse(&content);
        }

        #[test]
        fn any_text_is_limits_or_an_error(
            lines in prop::collection::vec(LINE, 0..6),
        ) {
            if let Err(flaw) = parse(lines.join("\n").as_bytes()) {
                prop_assert!((1..=lines.len().max(1)).contains(&flaw.line), "{:?}", flaw);
            }
        }

        #[test]
        fn what_is_written_is_read(
            default in prop::option::of(any::<u64>()),
            tenants in prop::collection::btree_map(names(), any::<u64>(), 0..8),
        ) {
            let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
            let mut content: String = default.map_or("#".to_owned(), |bytes| format!("default = {bytes}"));
            content += "\n[tenants]\n";
            for (name, bytes) in &tenants {
                content += &format!("{} = {bytes}\n", quoted(name));
            }
            let read = parse(content.as_bytes()).expect("as documented");
            prop_assert_eq!(read.default, default.map(Limit::bytes));
            let expected = tenants.into_iter().map(|(name, bytes)| (name, Limit::bytes(bytes))).collect();
            prop_assert_eq!(read.tenants, expected);
        }
    }
}
