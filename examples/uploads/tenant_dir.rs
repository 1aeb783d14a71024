//! The directory of a tenant: `tenant-` and the name, in which everything but small letters, digits, `-` and `_` is
//! percent-encoded. So no name leads out of the directory, and no two are the same where case does not count.

use std::fmt::Write;

use percent_encoding::percent_decode_str;

const PREFIX: &str = "tenant-";
/// Of any file's name.
const LONGEST: usize = 255;

/// `None` for a name that is too long to be one of a directory.
pub(crate) fn encode(tenant: &str) -> Option<String> {
    let mut dir = PREFIX.to_owned();
    for byte in tenant.bytes() {
        if is_plain(byte) {
            dir.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(dir, "%{byte:02x}");
        }
    }
    (!tenant.is_empty() && dir.len() <= LONGEST).then_some(dir)
}

/// `None` for what is no tenant's directory.
pub(crate) fn decode(dir: &str) -> Option<String> {
    let tenant = percent_decode_str(dir.strip_prefix(PREFIX)?).decode_utf8().ok()?;
    let is_ours = encode(&tenant).is_some_and(|encoded| encoded == dir);
    is_ours.then(|| tenant.into_owned())
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}
