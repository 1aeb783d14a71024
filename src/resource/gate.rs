//! What a resource says to every request, whatever its size.

/// The account decides.
pub(crate) const OPEN: u8 = 0;
/// The account decides, and inodes are few enough to be counted.
pub(crate) const COUNT_INODES: u8 = 1;
pub(crate) const FULL: u8 = 2;
pub(crate) const READ_ONLY: u8 = 3;
pub(crate) const NO_INODES: u8 = 4;
/// Nobody knows: let through.
pub(crate) const UNKNOWN_OPEN: u8 = 5;
/// Nobody knows: refuse.
pub(crate) const UNKNOWN_CLOSED: u8 = 6;
