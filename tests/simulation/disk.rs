//! A disk on which what is written shows late, with limits of bytes and inodes, and others who write there, too.

use std::time::Duration;

use tower_storage_guard::Reading;

pub(crate) struct Disk {
    pub(crate) total: u64,
    /// 1: counts bytes, and files need nothing beside them.
    pub(crate) block: u32,
    /// Milliseconds until a change shows, at most.
    pub(crate) lag: u64,
    pub(crate) used: u64,
    pub(crate) inodes: Option<u64>,
    pub(crate) inodes_used: u64,
    /// What is in use as far as a probe can see.
    visible: (i64, i64),
    hidden: Vec<Change>,
    /// What others took that no reading has told yet.
    foreign: Vec<Change>,
    pub(crate) foreign_files: Vec<u64>,
    pub(crate) floor: u64,
    pub(crate) inode_floor: u64,
    pub(crate) fails: bool,
    pub(crate) is_measured: bool,
    /// More than fits may have been admitted, because that is what the settings say.
    pub(crate) is_tainted: bool,
    pub(crate) fullest: u64,
    before: Option<Reading>,
}

struct Change {
    due: u64,
    bytes: i64,
    inodes: i64,
}

/// The disk is full, or has no inode left.
#[derive(Debug)]
pub(crate) struct NoSpace;

impl Disk {
    pub(crate) fn new(total: u64, block: u32, lag: u64, inodes: Option<u64>) -> Self {
        Self {
            total,
            block,
            lag,
            used: 0,
            inodes,
            inodes_used: 0,
            visible: (0, 0),
            hidden: Vec::new(),
            foreign: Vec::new(),
            foreign_files: Vec::new(),
            floor: 0,
            inode_floor: 0,
            fails: false,
            is_measured: false,
            is_tainted: false,
            fullest: 0,
            before: None,
        }
    }

    /// What a file of this length takes up, without what its directory needs.
    pub(crate) fn size_on_disk(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.block.into())
    }

    /// Some blocks and inodes more, which show after `delay`.
    pub(crate) fn take(&mut self, bytes: u64, inodes: u64, now: u64, delay: u64) -> Result<(), NoSpace> {
        let fits = self.used + bytes <= self.total;
        let has_inodes = self.inodes.is_none_or(|limit| self.inodes_used + inodes <= limit);
        if !fits || !has_inodes {
            return Err(NoSpace);
        }
        self.used += bytes;
        self.inodes_used += inodes;
        self.fullest = self.fullest.max(self.used);
        self.change(bytes as i64, inodes as i64, now, delay);
        Ok(())
    }

    pub(crate) fn free(&mut self, bytes: u64, inodes: u64, now: u64, delay: u64) {
        self.used -= bytes;
        self.inodes_used -= inodes;
        self.change(-(bytes as i64), -(inodes as i64), now, delay);
    }

    fn change(&mut self, bytes: i64, inodes: i64, now: u64, delay: u64) {
        self.hidden.push(Change {
            due: now + delay,
            bytes,
            inodes,
        });
    }

    /// Whether the guard can bear that others take so much: no more than what is left of the floor before a reading tells
    /// of it.
    pub(crate) fn allows_others(&self, bytes: u64, below_floor: u64, requests: u64) -> bool {
        let unseen = self.unseen_of_others();
        let has_inodes = self.inodes.is_none_or(|limit| {
            let free = limit - self.inodes_used;
            unseen.1 < self.inode_floor && free > self.inode_floor + requests
        });
        unseen.0 + bytes + below_floor <= self.floor && has_inodes
    }

    /// Others write.
    pub(crate) fn take_for_others(&mut self, bytes: u64, now: u64, delay: u64) -> bool {
        if self.take(bytes, 1, now, delay).is_err() {
            return false;
        }
        self.foreign_files.push(bytes);
        self.foreign.push(Change {
            due: now + delay,
            bytes: bytes as i64,
            inodes: 1,
        });
        true
    }

    pub(crate) fn unseen_of_others(&self) -> (u64, u64) {
        let sum = |of: fn(&Change) -> i64| self.foreign.iter().map(of).sum::<i64>().unsigned_abs();
        (sum(|change| change.bytes), sum(|change| change.inodes))
    }

    /// What a probe sees now.
    pub(crate) fn look(&mut self, now: u64) -> Reading {
        let visible = &mut self.visible;
        self.hidden.retain(|change| {
            let shows = change.due <= now;
            if shows {
                visible.0 += change.bytes;
                visible.1 += change.inodes;
            }
            !shows
        });
        let free = |limit: u64, used: i64| (limit as i64 - used).max(0).unsigned_abs();
        let reading = Reading::new(self.total, free(self.total, visible.0))
            .with_lag(Duration::from_millis(self.lag))
            .with_block_size(self.block);
        match self.inodes {
            Some(limit) => reading.with_inodes(limit, free(limit, visible.1)),
            None => reading,
        }
    }

    /// A reading that was taken then has been told.
    pub(crate) fn arrived(&mut self, then: u64) {
        self.foreign.retain(|change| change.due > then);
    }

    /// What it saw the time before.
    pub(crate) fn older(&mut self, reading: Reading) -> Reading {
        self.before.replace(reading).unwrap_or(reading)
    }

    /// What is left, as no probe can know it.
    pub(crate) fn truly_free(&self) -> u64 {
        self.total - self.used
    }
}
