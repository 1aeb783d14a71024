//! How a tenant's record and limit are written in the file.
//!
//! All numbers are little-endian; a time is seconds (8 bytes) and nanoseconds (4); a text is its length (4) and its bytes.
//!
//! | what | bytes |
//! |---|---|
//! | version | 1 |
//! | of a record: epoch, measured, base, quiet until, number of nodes | 8, 1, 8, 12, 4 |
//! | of each node, by name: name, incarnation, sequence, share, hold, expires, gone | 4 + n, 8, 8, 8, 8, 12, 1 |
//! | or of a limit: bytes, all ones for no limit | 8 |
//! | check sum of all that and of the tenant's name | 8 |

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::tenant::{
    Limit,
    lease::{NodeRecord, Record},
};

pub(super) const VERSION: u8 = 1;
const CHECK_SUM: usize = size_of::<u64>();

/// Why bytes are not what was written for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Of another version of this library.
    Version(u8),
    /// The check sum does not belong to it.
    CheckSum,
    /// It ends too early, goes on too long, or says what cannot be.
    Form,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "it is of version {version}, and only {VERSION} is known here"),
            Self::CheckSum => f.write_str("its check sum is wrong"),
            Self::Form => f.write_str("it has no known form"),
        }
    }
}

pub(super) fn encode_record(tenant: &[u8], record: &Record) -> Vec<u8> {
    let Record {
        epoch,
        measured,
        base,
        quiet_until,
        nodes,
    } = record;
    let mut out = vec![VERSION];
    out.extend(epoch.to_le_bytes());
    out.push((*measured).into());
    out.extend(base.to_le_bytes());
    put_time(&mut out, *quiet_until);
    put_length(&mut out, nodes.len());
    for (name, node) in nodes {
        let NodeRecord {
            incarnation,
            sequence,
            share,
            hold,
            expires,
            gone,
        } = *node;
        put_length(&mut out, name.len());
        out.extend(name.as_bytes());
        out.extend(incarnation.to_le_bytes());
        out.extend(sequence.to_le_bytes());
        out.extend(share.to_le_bytes());
        out.extend(hold.to_le_bytes());
        put_time(&mut out, expires);
        out.push(gone.into());
    }
    seal(tenant, out)
}

pub(super) fn decode_record(tenant: &[u8], bytes: &[u8]) -> Result<Record, Flaw> {
    let mut input = Input(open(tenant, bytes)?);
    let mut record = Record {
        epoch: input.u64()?,
        measured: input.flag()?,
        base: input.i64()?,
        quiet_until: input.time()?,
        nodes: BTreeMap::new(),
    };
    for _ in 0..input.u32()? {
        let name: Arc<str> = input.text()?.into();
        let node = NodeRecord {
            incarnation: input.u64()?,
            sequence: input.u64()?,
            share: input.i64()?,
            hold: input.u64()?,
            expires: input.time()?,
            gone: input.flag()?,
        };
        if record.nodes.insert(name, node).is_some() {
            return Err(Flaw::Form);
        }
    }
    input.end()?;
    Ok(record)
}

pub(super) fn encode_limit(tenant: &[u8], limit: Limit) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(limit.bound().to_le_bytes());
    seal(tenant, out)
}

pub(super) fn decode_limit(tenant: &[u8], bytes: &[u8]) -> Result<Limit, Flaw> {
    let mut input = Input(open(tenant, bytes)?);
    let limit = Limit::from_bound(input.u64()?);
    input.end()?;
    Ok(limit)
}

fn put_time(out: &mut Vec<u8>, time: Duration) {
    out.extend(time.as_secs().to_le_bytes());
    out.extend(time.subsec_nanos().to_le_bytes());
}

/// Nothing in memory here is near 4 GiB; if it were, the check when it is read would tell.
fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// With its check sum.
pub(super) fn seal(tenant: &[u8], mut out: Vec<u8>) -> Vec<u8> {
    out.extend(check_sum(tenant, &out).to_le_bytes());
    out
}

/// What is between the version and the check sum, if both are right.
fn open<'a>(tenant: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Flaw> {
    let &version = bytes.first().ok_or(Flaw::Form)?;
    // A later version may have another check sum.
    if version != VERSION {
        return Err(Flaw::Version(version));
    }
    let (content, sum) = bytes.split_last_chunk::<CHECK_SUM>().ok_or(Flaw::Form)?;
    if check_sum(tenant, content) != u64::from_le_bytes(*sum) {
        return Err(Flaw::CheckSum);
    }
    content.get(1..).ok_or(Flaw::Form)
}

/// FNV-1a of 64 bits. It finds accidents; whoever can write the file can also write a check sum.
fn check_sum(tenant: &[u8], content: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let add = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(PRIME);
    let length = (tenant.len() as u64).to_le_bytes();
    length.iter().chain(tenant).chain(content).fold(OFFSET, add)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (&taken, rest) = self.0.split_first_chunk().ok_or(Flaw::Form)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Flaw> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Flaw> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Flaw> {
        self.take().map(i64::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, Flaw> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Flaw::Form),
        }
    }

    fn time(&mut self) -> Result<Duration, Flaw> {
        let (seconds, nanoseconds) = (self.u64()?, self.u32()?);
        // More would carry over into the seconds, and could overflow.
        if nanoseconds < 1_000_000_000 {
            Ok(Duration::new(seconds, nanoseconds))
        } else {
            Err(Flaw::Form)
        }
    }

    fn text(&mut self) -> Result<&'a str, Flaw> {
        let length = usize::try_from(self.u32()?).map_err(|_| Flaw::Form)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Flaw::Form)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Flaw::Form)
    }

    fn end(self) -> Result<(), Flaw> {
        self.0.is_empty().then_some(()).ok_or(Flaw::Form)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: &[u8] = b"acme";

    fn times() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds))
    }

    prop_compose! {
        fn node_records()(
            incarnation: u64, sequence: u64, share: i64, hold: u64, expires in times(), gone: bool,
        ) -> NodeRecord {
            NodeRecord { incarnation, sequence, share, hold, expires, gone }
        }
    }

    prop_compose! {
        fn records()(
            epoch: u64, measured: bool, base: i64, quiet_until in times(),
            nodes in prop::collection::btree_map("\\PC{0,8}".prop_map(Arc::from), node_records(), 0..4),
        ) -> Record {
            Record { epoch, measured, base, quiet_until, nodes }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in records(), tenant: Vec<u8>, bound: u64) {
            prop_assert_eq!(decode_record(&tenant, &encode_record(&tenant, &record)), Ok(record));
            let limit = Limit::from_bound(bound);
            prop_assert_eq!(decode_limit(&tenant, &encode_limit(&tenant, limit)), Ok(limit));
        }

        #[test]
        fn a_changed_bit_is_seen(record in records(), at: prop::sample::Index, bit in 0..8_u32) {
            let mut bytes = encode_record(TENANT, &record);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(decode_record(TENANT, &bytes).is_err());
        }

        #[test]
        fn a_part_is_no_record(record in records(), length: prop::sample::Index) {
            let bytes = encode_record(TENANT, &record);
            let part = &bytes[..length.index(bytes.len())];
            prop_assert!(decode_record(TENANT, part).is_err());
        }

        /// With the right check sum, so that the form is what is looked at.
        #[test]
        fn any_bytes_are_a_record_or_a_flaw(content: Vec<u8>) {
            let bytes = seal(TENANT, [&[VERSION], content.as_slice()].concat());
            if let Ok(record) = decode_record(TENANT, &bytes) {
                prop_assert!(record.nodes.len() <= content.len());
            }
            let _ = decode_limit(TENANT, &bytes);
            let _ = decode_record(TENANT, &content);
        }
    }

    #[test]
    fn flaws_are_told_apart() {
        let bytes = encode_limit(TENANT, Limit::UNLIMITED);
        assert_eq!(decode_limit(b"other", &bytes), Err(Flaw::CheckSum));
        assert_eq!(decode_record(TENANT, &bytes), Err(Flaw::Form));
        assert_eq!(decode_limit(TENANT, &[2]), Err(Flaw::Version(2)));
        assert_eq!(decode_limit(TENANT, &[]), Err(Flaw::Form));
        let too_long = seal(TENANT, [&[VERSION][..], &[0; 9]].concat());
        assert_eq!(decode_limit(TENANT, &too_long), Err(Flaw::Form));
    }

    #[test]
    fn a_second_has_a_thousand_million_nanoseconds() {
        for (nanoseconds, is_time) in [(999_999_999_u32, true), (1_000_000_000, false), (u32::MAX, false)] {
            let bytes = [&1_u64.to_le_bytes()[..], &nanoseconds.to_le_bytes()].concat();
            assert_eq!(Input(&bytes).time().is_ok(), is_time, "{nanoseconds}");
        }
    }

    /// Files of today are read tomorrow.
    #[test]
    fn the_form_is_fixed() {
        let node = NodeRecord {
            incarnation: 1,
            sequence: 2,
            share: -3,
            hold: 4,
            expires: Duration::new(5, 6),
            gone: true,
        };
        let record = Record {
            epoch: 7,
            measured: true,
            base: -8,
            quiet_until: Duration::new(9, 10),
            nodes: [("n".into(), node)].into(),
        };
        let hex: String = encode_record(TENANT, &record)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = concat!(
            "01",
            "0700000000000000",
            "01",
            "f8ffffffffffffff",
            "0900000000000000",
            "0a000000",
            "01000000",
            "01000000",
            "6e",
            "0100000000000000",
            "0200000000000000",
            "fdffffffffffffff",
            "0400000000000000",
            "0500000000000000",
            "06000000",
            "01",
        );
        assert_eq!(hex[..hex.len() - 16], *expected);
        assert_eq!(hex[hex.len() - 16..], *"a36f14239a5a9c88");
    }
}
