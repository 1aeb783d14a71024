use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::duration::Time;
use crate::{FailurePolicy, Fallback};

/// A failure policy: `"open"`, `"closed"`, or `{ hold = "30s", then = "closed" }`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PolicyWords(pub(super) FailurePolicy);

impl<'de> Deserialize<'de> for PolicyWords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyVisitor)
    }
}

/// The long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    hold: Time,
    then: Then,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    Open,
    Closed,
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = PolicyWords;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"open\", \"closed\", or a table such as { hold = \"30s\", then = \"closed\" }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<PolicyWords, E> {
        match word {
            "open" => Ok(PolicyWords(FailurePolicy::Open)),
            "closed" => Ok(PolicyWords(FailurePolicy::Closed)),
            other => Err(E::custom(format_args!(
                "`{other}` is not a policy: write open, closed, or {{ hold = \"30s\", then = \"closed\" }}"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PolicyWords, A::Error> {
        let Hold { hold, then } = Hold::deserialize(MapAccessDeserializer::new(map))?;
        let then = match then {
            Then::Open => Fallback::Open,
            Then::Closed => Fallback::Closed,
        };
        Ok(PolicyWords(FailurePolicy::Hold { at_most: hold.0, then }))
    }
}
