//! How records are read from the file, for the targets in `fuzz/`.

use super::{codec, header};
use crate::tenant::{Limit, Record};

/// A record, if these bytes are one of this tenant's.
pub fn decode_record(tenant: &[u8], bytes: &[u8]) -> Option<Record> {
    codec::decode_record(tenant, bytes).ok()
}

/// The same of bytes with the version and the check sum that belong to them.
pub fn decode_sealed_record(tenant: &[u8], content: &[u8]) -> Option<Record> {
    decode_record(tenant, &codec::seal(tenant, [&[codec::VERSION], content].concat()))
}

/// As it is written.
pub fn encode_record(tenant: &[u8], record: &Record) -> Vec<u8> {
    codec::encode_record(tenant, record)
}

/// A limit, if these bytes are one of this tenant's.
pub fn decode_limit(tenant: &[u8], bytes: &[u8]) -> Option<Limit> {
    codec::decode_limit(tenant, bytes).ok()
}

/// As it is written.
pub fn encode_limit(tenant: &[u8], limit: Limit) -> Vec<u8> {
    codec::encode_limit(tenant, limit)
}

/// Whether a file of this length can have this beginning; none if the beginning is too short to say.
pub fn can_have(beginning: &[u8], length: u64) -> Option<bool> {
    header::can_have(beginning, length)
}
