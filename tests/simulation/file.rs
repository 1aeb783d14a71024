//! Files on simulated disks.

use crate::{
    plan::Plan,
    site::{Site, Stored},
};

/// The disk has no room.
pub(crate) struct Full;

/// A file that is being written, alike on several disks. What is left of it when it is dropped stays, or is removed.
pub(crate) struct File<'a> {
    site: &'a Site,
    plan: &'a Plan,
    stored: Option<Stored>,
    pub(crate) is_complete: bool,
}

impl<'a> File<'a> {
    pub(crate) fn create(site: &'a Site, plan: &'a Plan, disks: &[usize]) -> Result<Self, Full> {
        let mut stored = Stored {
            disks: Vec::new(),
            bytes: 0,
            beside: Vec::new(),
            of: None,
            charged: 0,
        };
        let mut failed = false;
        for &at in disks {
            let block = u64::from(site.disk(at).block);
            let beside = if block > 1 && site.one_in(4) { block } else { 0 };
            if site.take(at, beside, 1).is_err() {
                failed = true;
                break;
            }
            stored.disks.push(at);
            stored.beside.push(beside);
        }
        let file = Self {
            site,
            plan,
            stored: Some(stored),
            is_complete: false,
        };
        if failed { Err(Full) } else { Ok(file) }
    }

    /// The same on all disks, as far as each has room.
    pub(crate) fn write(&mut self, bytes: u64) -> Result<u64, Full> {
        let stored = self.stored.as_mut().unwrap();
        for (place, &at) in stored.disks.iter().enumerate() {
            let disk = self.site.disk(at);
            let more = disk.size_on_disk(stored.bytes + bytes) - disk.size_on_disk(stored.bytes);
            drop(disk);
            if self.site.take(at, more, 0).is_err() {
                // What is on the disks before this one goes again, so that the copies stay alike.
                for &at in &stored.disks[..place] {
                    let disk = self.site.disk(at);
                    let more = disk.size_on_disk(stored.bytes + bytes) - disk.size_on_disk(stored.bytes);
                    drop(disk);
                    self.site.free(at, more, 0);
                }
                return Err(Full);
            }
        }
        stored.bytes += bytes;
        Ok(bytes)
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        let mut stored = self.stored.take().unwrap();
        if self.is_complete {
            stored.of = self.plan.tenant.map(|tenant| (tenant, self.plan.number));
        } else if self.plan.removes_partial {
            self.site.delete(&stored);
            return;
        }
        self.site.files.lock().unwrap().push(stored);
    }
}
