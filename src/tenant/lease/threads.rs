use std::{
    fmt, io,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use super::{Keeper, LeaseStore, keeper::lock};
use crate::tenant::LedgerInner;

/// The two threads of a ledger with leases: one talks to the store and may be held up by it, the other sees to it that
/// nobody waits for too long.
pub(in crate::tenant) struct Threads {
    core: Arc<LedgerInner>,
    /// Hears when the store has been told the last.
    closed: Mutex<Option<Receiver<()>>>,
}

/// Dropping waits for so long until everything is given back; a store that hangs does not hang its owner.
const FAREWELL: Duration = Duration::from_secs(5);

impl Threads {
    pub(in crate::tenant) fn start(core: Arc<LedgerInner>, mut store: Box<dyn LeaseStore>) -> io::Result<Self> {
        let (closing, closed) = mpsc::channel();
        let own = core.clone();
        thread::Builder::new()
            .name(format!("{}-leases", core.name))
            .spawn(move || {
                if let Some(keeper) = &own.keeper {
                    while keeper.wait_for_work() {
                        keeper.round(&own.accounts, &mut *store);
                    }
                    keeper.close(&own.accounts, &mut *store);
                }
                drop(store);
                // Nobody may be waiting.
                let _ = closing.send(());
            })?;
        let own = core.clone();
        thread::Builder::new()
            .name(format!("{}-waits", core.name))
            .spawn(move || {
                if let Some(keeper) = &own.keeper {
                    while keeper.wait_for_deadline() {
                        keeper.expire(&own.accounts);
                    }
                    keeper.dismiss_waiters();
                }
            })?;
        Ok(Self {
            core,
            closed: Mutex::new(Some(closed)),
        })
    }

    /// Gives back what nobody needs, and waits until the store was told, for 5 s at most.
    pub(in crate::tenant) fn close(&self) {
        self.core.keeper.as_ref().map(Keeper::stop);
        if let Some(closed) = lock(&self.closed).take() {
            let _ = closed.recv_timeout(FAREWELL);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tenant::{
            DeniedKind, Ledger, Limit, StoreError,
            lease::{Leasing, SyncReply, SyncRequest},
        },
        test_util::FakeStore,
    };

    fn ledger(store: impl LeaseStore + 'static, wait_at_most: Duration) -> Ledger {
        let leasing = Leasing::new(store).node("n").wait_at_most(wait_at_most);
        let ledger = Ledger::builder().default_limit(Limit::bytes(1000)).leasing(leasing);
        ledger.build().expect("threads start")
    }

    #[test]
    fn whoever_waits_is_served_and_at_the_end_everything_goes_back() {
        let store = FakeStore::new();
        let ledger = ledger(store.clone(), Duration::from_secs(60));
        ledger.reserve("t", 700).wait().expect("there is room").commit(300);
        drop(ledger);
        let record = store.record("t").expect("it was told");
        assert_eq!((record.used(), record.nodes["n"].hold), (300, 0));
    }

    /// Answers when it is let go.
    struct Hangs(Receiver<()>);

    impl LeaseStore for Hangs {
        fn sync(&mut self, _: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
            // Let go for good when the other side is dropped.
            let _ = self.0.recv();
            Ok(Vec::new())
        }

        fn set_limit(&mut self, _: &str, _: Option<Limit>) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn a_store_that_hangs_holds_nobody_up() {
        let (lets_go, hangs) = mpsc::channel();
        let ledger = ledger(Hangs(hangs), Duration::from_millis(1));
        for _ in 0..2 {
            let denied = ledger.reserve("t", 1).wait().expect_err("nobody answers");
            assert_eq!(denied.kind(), DeniedKind::Unknown);
        }
        drop(lets_go);
    }
}
