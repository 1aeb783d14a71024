//! How a file of limits is read, for the targets in `fuzz/`.

use super::{Limits, parse};

/// The limits, or the line of the mistake and what is said of it.
pub fn limits(content: &[u8]) -> Result<Limits, (usize, String)> {
    parse::parse(content).map_err(|flaw| (flaw.line, flaw.message))
}
