use std::fmt::Write;

/// The key of a tenant's record. The tenant is in braces, so that a cluster keeps whatever belongs to it in one slot, and
/// what is not plain in its name is written as in URLs: no name gets out of its braces, and no two share a key.
pub(super) fn key(prefix: &str, tenant: &str) -> String {
    let mut key = String::with_capacity(prefix.len() + tenant.len() + 3);
    key.push_str(prefix);
    key.push_str(":{");
    for byte in tenant.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' | b'+' | b'=' => {
                key.push(char::from(byte));
            }
            // A `String` takes everything.
            _ => drop(write!(key, "%{byte:02X}")),
        }
    }
    key.push('}');
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(key("sg", "acme/eu-1:42@x.org"), "sg:{acme/eu-1:42@x.org}");
        assert_eq!(key("sg", ""), "sg:{}");
    }

    #[test]
    fn odd_names_stay_in_their_braces() {
        assert_eq!(key("sg", "a}b{c"), "sg:{a%7Db%7Bc}");
        assert_eq!(key("sg", "%7D"), "sg:{%257D}");
        assert_eq!(key("sg", "é\r\n\0 *"), "sg:{%C3%A9%0D%0A%00%20%2A}");
    }
}
