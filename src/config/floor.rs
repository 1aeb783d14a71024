use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::size::Size;
use crate::{Floor, parse_size};

/// A floor: `"5GiB"`, `"5%"`, or `{ percent = 2, at_least = "1GiB", at_most = "20GiB" }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FloorWords(pub(super) Floor);

impl<'de> Deserialize<'de> for FloorWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FloorVisitor)
    }
}

/// The long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    percent: Option<Percent>,
    at_least: Option<Size>,
    at_most: Option<Size>,
}

struct FloorVisitor;

impl<'de> Visitor<'de> for FloorVisitor {
    type Value = FloorWords;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"5GiB\", a share such as \"5%\", or a table of percent, at_least and at_most")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FloorWords, E> {
        match text.trim().strip_suffix('%') {
            Some(number) => percent(number).map(|percent| FloorWords(Floor::percent(percent))),
            None => parse_size(text)
                .map(|bytes| FloorWords(Floor::bytes(bytes)))
                .map_err(|error| E::custom(format_args!("{error}, or a share such as 5%"))),
        }
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<FloorWords, E> {
        Ok(FloorWords(Floor::bytes(bytes)))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<FloorWords, E> {
        match u64::try_from(bytes) {
            Ok(bytes) => self.visit_u64(bytes),
            Err(_) => Err(E::custom(format_args!("{bytes} is not a size: write 0 or more"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FloorWords, A::Error> {
        let parts = Parts::deserialize(MapAccessDeserializer::new(map))?;
        if parts.percent.is_none() && parts.at_least.is_none() {
            return Err(A::Error::custom("a floor needs percent or at_least"));
        }
        let mut floor = Floor::percent(parts.percent.map_or(0.0, |Percent(percent)| percent));
        if let Some(Size(bytes)) = parts.at_least {
            floor = floor.at_least(bytes);
        }
        if let Some(Size(bytes)) = parts.at_most {
            floor = floor.at_most(bytes);
        }
        Ok(FloorWords(floor))
    }
}

/// A percentage: `5`, `2.5` or `"5%"`.
struct Percent(f64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PercentVisitor)
    }
}

struct PercentVisitor;

impl Visitor<'_> for PercentVisitor {
    type Value = Percent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a percentage from 0 to 100")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Percent, E> {
        percent(text.trim().trim_end_matches('%')).map(Percent)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Percent, E> {
        in_range(number).map(Percent)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Percent, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Percent, E> {
        self.visit_f64(number as f64)
    }
}

fn percent<E: Error>(text: &str) -> Result<f64, E> {
    match text.trim().parse() {
        Ok(number) => in_range(number),
        Err(_) => Err(E::custom(format_args!(
            "`{text}` is not a percentage: write a number from 0 to 100"
        ))),
    }
}

fn in_range<E: Error>(percent: f64) -> Result<f64, E> {
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err(E::custom(format_args!(
            "{percent} is not a percentage: write a number from 0 to 100"
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Floor> {
        #[derive(Deserialize)]
        struct File {
            floor: FloorWords,
        }
        toml::from_str(&format!("floor = {text}"))
            .ok()
            .map(|file: File| file.floor.0)
    }

    proptest! {
        #[test]
        fn a_floor_is_read_in_each_way_it_may_be_written(
            hundredths in 0..20_000_u32, bytes in 0..1_u64 << 62, more in 0..1_u64 << 61, space in " ?",
        ) {
            let percent = f64::from(hundredths) / 100.0;
            let share = (percent <= 100.0).then(|| Floor::percent(percent));
            prop_assert_eq!(read(&format!("\"{space}{percent}{space}%{space}\"")), share);
            prop_assert_eq!(read(&format!("{{ percent = {percent} }}")), share);
            prop_assert_eq!(read(&format!("{{ percent = \"{percent}%\" }}")), share);
            prop_assert_eq!(read(&bytes.to_string()), Some(Floor::bytes(bytes)));
            prop_assert_eq!(read(&format!("\"{bytes}{space}B\"")), Some(Floor::bytes(bytes)));
            let most = bytes + more;
            let table = format!("{{ percent = {percent}, at_least = {bytes}, at_most = \"{most}\" }}");
            prop_assert_eq!(read(&table), share.map(|share| share.at_least(bytes).at_most(most)));
            let negative = -percent - 0.01;
            prop_assert_eq!(read(&negative.to_string()), None);
            prop_assert_eq!(read(&format!("\"{negative}%\"")), None);
            prop_assert_eq!(read(&format!("{{ at_most = {most} }}")), None, "at least what?");
        }

        #[test]
        fn other_words_are_no_floor(text in "[0-9a-zA-Z%.+ -]{0,8}") {
            if let Some(floor) = read(&format!("\"{text}\"")) {
                prop_assert_eq!(floor.flaw(), None);
            }
        }
    }
}
