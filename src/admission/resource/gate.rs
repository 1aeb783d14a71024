//! What a resource says to every request, whatever its size.

/// The account decides.
pub(in crate::admission) const OPEN: u8 = 0;
/// The account decides, and inodes are few enough to be counted.
pub(in crate::admission) const COUNT_INODES: u8 = 1;
pub(in crate::admission) const FULL: u8 = 2;
pub(in crate::admission) const READ_ONLY: u8 = 3;
pub(in crate::admission) const NO_INODES: u8 = 4;
/// Nobody knows: let through.
pub(in crate::admission) const UNKNOWN_OPEN: u8 = 5;
/// Nobody knows: refuse.
pub(in crate::admission) const UNKNOWN_CLOSED: u8 = 6;
