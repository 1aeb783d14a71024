//! After the last request all room comes back, and the accounts equal the disks.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use crate::world::World;

impl World {
    /// Everything works again.
    pub(crate) fn mend(&self) {
        for disk in &self.site.disks {
            disk.lock().unwrap().fails = false;
        }
        for store in self.books.iter().filter_map(|book| book.store.as_ref()) {
            store.recover();
            store.lose_replies(0);
        }
    }

    /// Compares the accounts with the disks when all requests are over.
    pub(crate) fn end(&self) {
        self.site.is_quiet.store(true, Relaxed);
        self.look_at_requests();
        self.look_at_disks();
        self.look_at_ledgers();
    }

    /// Finishes every task, and gives up those that wait for a silent client.
    pub(crate) fn finish_all(&self) {
        self.site
            .say(|| "everything works again, and no request comes any more".to_owned());
        self.mend();
        for round in 0..400 {
            while self.poll_one() {}
            if self.tasks.lock().unwrap().is_empty() {
                return;
            }
            self.site.clock.advance(Duration::from_millis(50));
            self.ask_stores();
            // By then no task can be waiting for a store.
            if round > 100 {
                break;
            }
        }
        for task in std::mem::take(&mut *self.tasks.lock().unwrap()) {
            self.site.check(!task.is_woken(), || "a task never ends".to_owned());
            let waits_for_client = task.plan.facts().client.hangs;
            self.site
                .check(waits_for_client, || format!("#{} was not woken", task.plan.number));
            self.finish(task);
        }
    }

    fn look_at_requests(&self) {
        for plan in self.plans.lock().unwrap().iter() {
            let facts = plan.facts();
            let (answers, is_gone) = (facts.answers, facts.body_is_gone);
            self.site
                .check(answers <= 1, || format!("#{} got {answers} answers", plan.number));
            self.site
                .check(is_gone, || format!("the body of #{} is kept", plan.number));
        }
    }

    fn look_at_disks(&self) {
        for (at, resource) in self.resources.iter().enumerate() {
            let held = resource.report().held;
            self.site
                .check(held == 0, || format!("disk {at}: {held} bytes are held by no request"));
            let lag = Duration::from_millis(self.site.disk(at).lag);
            // The first takes up what closed last; by the second that has shown.
            for _ in 0..2 {
                self.sample(at);
                self.site.clock.advance(lag + lag + Duration::from_millis(1));
            }
            self.sample(at);
            let report = resource.report();
            let disk = self.site.disk(at);
            let expected = disk.truly_free() as i64 - disk.floor as i64;
            let (held, unseen) = (report.held, report.unseen);
            self.site.check((held, unseen) == (0, 0), || {
                format!("disk {at}: {held} held and {unseen} unseen when all is over")
            });
            self.site.check(report.headroom == expected, || {
                format!(
                    "disk {at}: headroom {}, but {expected} are free above the floor",
                    report.headroom
                )
            });
        }
    }

    fn look_at_ledgers(&self) {
        // The life of a lease, and some heartbeats more until what lies idle went back.
        for _ in 0..10 {
            self.site.clock.advance(Duration::from_secs(6));
            while self.ask_stores() {}
        }
        for book in &self.books {
            for account in book.accounts() {
                let name = book.name(account);
                let plans = self.plans.lock().unwrap();
                let own = plans
                    .iter()
                    .filter(|plan| plan.tenant.is_some_and(|tenant| book.account(tenant) == account));
                let charged = own.map(|plan| {
                    let charged = plan.facts().stored(&plan.claim);
                    self.site
                        .say(|| format!("#{} changed what {name} has by {charged}", plan.number));
                    charged
                });
                let expected: i64 = charged.sum();
                let (used, held) = match &book.store {
                    None => {
                        let usage = book.ledger.usage(name);
                        (usage.used, usage.reserved)
                    }
                    Some(store) => store.record(name).map_or((0, 0), |record| {
                        (record.used(), record.nodes.values().map(|node| node.hold).sum())
                    }),
                };
                self.site.check((used as i64, held) == (expected, 0), || {
                    format!("{name} has {used} stored and {held} held when all is over, but should have {expected}")
                });
            }
        }
    }
}
