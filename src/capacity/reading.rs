use std::time::Duration;

/// What a probe measured: how much a resource holds and how much of it is free.
///
/// Amounts are bytes unless the probe says otherwise (a queue may count messages); the guard only compares them.
///
/// ```
/// use tower_storage_guard::Reading;
///
/// let reading = Reading::new(100 << 30, 40 << 30).with_block_size(4096);
/// assert_eq!(reading.available, 40 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// All that could ever be stored, free and used together. [`u64::MAX`] means that no limit is known, and then
    /// nothing is refused as "could never fit".
    pub total: u64,
    /// What can be stored now.
    pub available: u64,
    /// Free inodes, where the resource has a limit of them.
    pub inodes: Option<Inodes>,
    /// `false` when nothing can be written at all, for example on a read-only mount.
    pub writable: bool,
    /// How long a write may take until `available` shows it. Zero for most file systems; btrfs showed data that was
    /// already synced after 30 s.
    pub lag: Duration,
    /// How old the figures were when the probe handed them over. Zero when they were measured in the call itself.
    pub age: Duration,
    /// The unit of allocation in bytes; what a request wants is rounded up to it. 1 means exact to the byte.
    pub block_size: u32,
}

impl Reading {
    /// A reading of a writable resource without inode limit, lag or blocks. `available` beyond `total` counts as `total`.
    #[must_use]
    pub const fn new(total: u64, available: u64) -> Self {
        Self {
            total,
            available: if available > total { total } else { available },
            inodes: None,
            writable: true,
            lag: Duration::ZERO,
            age: Duration::ZERO,
            block_size: 1,
        }
    }

    /// A reading of a resource whose total is unknown: it can be full now, but nothing is too large for ever.
    #[must_use]
    pub const fn unbounded(available: u64) -> Self {
        Self::new(u64::MAX, available)
    }

    /// Sets the number of inodes there are and that are free.
    #[must_use]
    pub const fn with_inodes(mut self, total: u64, available: u64) -> Self {
        self.inodes = Some(Inodes { total, available });
        self
    }

    /// Says whether the resource can be written to at all.
    #[must_use]
    pub const fn with_writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }

    /// Sets how long a write may take until it shows in a reading.
    #[must_use]
    pub const fn with_lag(mut self, lag: Duration) -> Self {
        self.lag = lag;
        self
    }

    /// Sets how old the figures are.
    #[must_use]
    pub const fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Sets the unit of allocation in bytes; 0 counts as 1.
    #[must_use]
    pub const fn with_block_size(mut self, bytes: u32) -> Self {
        self.block_size = if bytes == 0 { 1 } else { bytes };
        self
    }
}

/// How many inodes (files and directories) a file system can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inodes {
    /// All there are.
    pub total: u64,
    /// Those that are free.
    pub available: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_no_bytes_are_of_one() {
        let sizes = [0, 1, 4096].map(|bytes| Reading::new(9, 9).with_block_size(bytes).block_size);
        assert_eq!(sizes, [1, 1, 4096]);
    }
}
