//! What operators do, and what breaks and works again.

use tower_storage_guard::{Floor, Limit};

use crate::{setup::write_buffer, site::Fault, world::World};

impl World {
    pub(crate) fn reload_floor(&self) {
        let site = &self.site;
        let at = site.below(self.resources.len() as u64) as usize;
        let mut disk = site.disk(at);
        let unseen = disk.unseen_of_others();
        // What others have written and nobody has seen must stay covered.
        let floor = unseen.0.max(site.below(3) / 2 * site.below(disk.total / 8));
        let inode_floor = unseen.1.max(site.below(4));
        (disk.floor, disk.inode_floor) = (floor, inode_floor);
        drop(disk);
        let settings = self.resources[at].settings();
        let settings = settings.floor(Floor::bytes(floor)).inode_floor(inode_floor);
        self.resources[at].reconfigure(settings).unwrap();
        site.count("reload: floor");
        site.say(|| format!("disk {at}: the floor is {floor}, {inode_floor} inodes"));
    }

    pub(crate) fn reload_layer(&self) {
        let site = &self.site;
        let guard = &self.layers[site.below(self.layers.len() as u64) as usize];
        let mut rules = guard.rules.lock().unwrap();
        match site.below(4) {
            0 => rules.maximum = rules.minimum + site.below(20 << 20),
            1 => rules.minimum = site.below(100_000).min(rules.maximum),
            2 => rules.buffer = write_buffer(site),
            _ if site.fault == Fault::None => rules.report_only = site.one_in(8),
            _ => {}
        }
        if rules.report_only {
            guard.disks.iter().for_each(|&at| site.disk(at).is_tainted = true);
            self.books
                .iter()
                .for_each(|book| *book.is_tainted.lock().unwrap() = true);
        }
        let new = *rules;
        site.count("reload: layer");
        site.say(|| format!("a layer is set to {new:?}"));
        let live = guard.layer.live_settings();
        let changed = live.update(|settings| {
            settings.layer = settings
                .layer
                .max_body(Some(new.maximum))
                .minimum_charge(new.minimum)
                .write_buffer(new.buffer)
                .report_only(new.report_only);
        });
        changed.unwrap();
    }

    pub(crate) fn reload_limits(&self) {
        let Some(book) = self.books.iter().find(|book| book.store.is_none()) else {
            return;
        };
        let account = book.account(self.site.below(3) as usize);
        let limit = self.site.below(24 << 20);
        self.site.count("reload: tenant's limit");
        book.limits.lock().unwrap()[account] = limit;
        let most = &mut book.most.lock().unwrap()[account];
        *most = limit.max(*most);
        book.ledger.set_limit(book.name(account), Limit::bytes(limit)).unwrap();
    }

    pub(crate) fn break_or_mend(&self) {
        // One thing at a time.
        if self.site.fault != Fault::None {
            return;
        }
        let at = self.site.below(self.site.disks.len() as u64) as usize;
        let mut disk = self.site.disk(at);
        disk.fails = !disk.fails && self.site.one_in(2);
        self.site.count("probe: fails");
        self.site
            .say(|| format!("the probe of disk {at} fails: {}", disk.fails));
    }

    pub(crate) fn check_ages(&self) {
        for resource in &self.resources {
            resource.check_age();
            let report = resource.report();
            if !report.measured && report.error.is_none() {
                self.site.count("probe: too old");
            }
        }
    }

    /// Tells whether there was something to ask.
    pub(crate) fn ask_stores(&self) -> bool {
        let mut asked = false;
        for book in &self.books {
            asked |= book.ledger.step();
        }
        asked
    }

    pub(crate) fn break_or_mend_stores(&self) {
        for store in self.books.iter().filter_map(|book| book.store.as_ref()) {
            match self.site.below(4) {
                0 => {
                    self.site.count("store: fails");
                    store.fail("out of order");
                }
                1 => {
                    self.site.count("store: loses a reply");
                    store.lose_replies(1);
                }
                _ => store.recover(),
            }
        }
    }
}
