use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::{Buffer, Largest};
use crate::{WriteBuffer, parse_size};

/// A size: `"64MiB"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match SizeOr::read(deserializer, "")? {
            SizeOr::Size(bytes) => Ok(Self(bytes)),
            // No word is empty, so none was taken for it.
            SizeOr::Word => Err(D::Error::custom("a size is missing: write one such as 64MiB")),
        }
    }
}

impl<'de> Deserialize<'de> for Largest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match SizeOr::read(deserializer, "unlimited")? {
            SizeOr::Size(bytes) => Some(bytes),
            SizeOr::Word => None,
        }))
    }
}

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match SizeOr::read(deserializer, "whole")? {
            SizeOr::Size(bytes) => WriteBuffer::Bytes(bytes),
            SizeOr::Word => WriteBuffer::Whole,
        }))
    }
}

/// A size, or a word that stands for something else.
enum SizeOr {
    Size(u64),
    Word,
}

impl SizeOr {
    fn read<'de, D: Deserializer<'de>>(deserializer: D, word: &'static str) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor { word })
    }
}

struct SizeVisitor {
    word: &'static str,
}

impl Visitor<'_> for SizeVisitor {
    type Value = SizeOr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64MiB\", or a number of bytes")?;
        if !self.word.is_empty() {
            write!(f, ", or \"{}\"", self.word)?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SizeOr, E> {
        if !self.word.is_empty() && text == self.word {
            return Ok(SizeOr::Word);
        }
        parse_size(text).map(SizeOr::Size).map_err(|error| match self.word {
            "" => E::custom(error),
            word => E::custom(format_args!("{error}, or \"{word}\"")),
        })
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<SizeOr, E> {
        Ok(SizeOr::Size(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<SizeOr, E> {
        u64::try_from(bytes)
            .map(SizeOr::Size)
            .map_err(|_| E::custom(format_args!("{bytes} is not a size: write 0 or more")))
    }
}
