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
use crate::tenant::Core;

/// The two threads of a ledger with leases: one talks to the store and may be held up by it, the other sees to it that
/// nobody waits for too long.
pub(in crate::tenant) struct Threads {
    core: Arc<Core>,
    /// Hears when the store has been told the last.
    closed: Mutex<Option<Receiver<()>>>,
}

/// Dropping waits for so long until everything is given back; a store that hangs does not hang its owner.
const FAREWELL: Duration = Duration::from_secs(5);

impl Threads {
    pub(in crate::tenant) fn start(core: Arc<Core>, mut store: Box<dyn LeaseStore>) -> io::Result<Self> {
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
