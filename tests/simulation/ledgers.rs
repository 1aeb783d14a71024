//! What must hold of the tenants' accounts at any time.

use crate::world::{Book, World};

impl World {
    pub(crate) fn watch_ledgers(&self) {
        for book in &self.books {
            // Where refusals are only reported, more is charged than a limit allows.
            if *book.is_tainted.lock().unwrap() {
                continue;
            }
            for account in book.accounts() {
                self.watch_account(book, account);
            }
        }
    }

    fn watch_account(&self, book: &Book, account: usize) {
        let most = book.most.lock().unwrap()[account];
        let name = book.name(account);
        let usage = book.ledger.usage(name);
        let charged = usage.used + usage.reserved;
        self.site.check(charged <= most, || {
            format!("{name} is above its limit of {most}: {usage:?}")
        });
        if let Some(record) = book.store.as_ref().and_then(|store| store.record(name)) {
            let held: u64 = record.nodes.values().map(|node| node.hold).sum();
            let used = record.used();
            self.site.check(used + held <= most, || {
                format!("{name} is above its limit of {most} by the record: {used} used, {held} leased")
            });
        }
        // Handlers have nothing that is not charged.
        let plans = self.plans_under_way();
        let own = plans
            .iter()
            .filter(|plan| plan.tenant.is_some_and(|tenant| book.account(tenant) == account));
        let handed: u64 = own
            .map(|plan| {
                let facts = plan.facts();
                let is_charged = facts.admitted_at.is_some() && !facts.reservation_is_over();
                if is_charged {
                    facts.handed.max(plan.claim.copies)
                } else {
                    0
                }
            })
            .sum();
        let reserved = usage.reserved;
        self.site.check(handed <= reserved, || {
            format!("requests of {name} have {handed} bytes, and {reserved} are reserved")
        });
    }
}
