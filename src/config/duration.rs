use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// A time: `"250ms"`, `"30s"`, `"5min"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"250ms\", \"30s\", \"5min\" or \"1h\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        parse(text).map(Time).ok_or_else(|| {
            E::custom(format_args!(
                "`{text}` is not a time: write a whole number with a unit, such as 250ms, 30s, 5min or 1h"
            ))
        })
    }
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |seconds: u64| number.checked_mul(seconds).map(Duration::from_secs);
    match unit.trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As others read them who know more units.
        #[test]
        fn times_are_those_of_humantime(number in 0..1_000_000_u64, unit in "ms|s|m|min|h", space in " ?") {
            let text = format!("{number}{space}{unit}");
            prop_assert_eq!(parse(&text), humantime::parse_duration(&text).ok(), "{}", text);
        }

        /// Nothing else is a time.
        #[test]
        fn other_words_are_no_times(text in "[0-9]{0,3}[.+ -]{0,2}[0-9]{0,2}[a-z]{0,5}") {
            if let Some(time) = parse(&text) {
                prop_assert_eq!(Some(time), humantime::parse_duration(&text).ok(), "{}", text);
            }
        }
    }

    #[test]
    fn reads_whole_numbers_with_a_unit() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("30s", Some(Duration::from_secs(30))),
            (" 5 min ", Some(Duration::from_secs(300))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h", Some(Duration::from_secs(3600))),
            ("0s", Some(Duration::ZERO)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 day", None),
            ("18446744073709551615h", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
