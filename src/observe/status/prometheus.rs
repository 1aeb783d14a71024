//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

use crate::observe::{
    Snapshot,
    figures::{Kind, Value, families},
};

pub(super) fn write(snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(8 << 10);
    for family in families(snapshot) {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let (name, help) = (family.name, family.help);
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for sample in family.samples {
            text.push_str(name);
            for (place, (label, value)) in sample.labels.iter().enumerate() {
                let _ = write!(text, "{}{label}=\"", if place == 0 { '{' } else { ',' });
                escape(value, &mut text);
                text.push('"');
            }
            if !sample.labels.is_empty() {
                text.push('}');
            }
            let _ = match sample.value {
                Value::Count(count) => writeln!(text, " {count}"),
                Value::Amount(amount) => writeln!(text, " {amount}"),
            };
        }
    }
    text
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}
