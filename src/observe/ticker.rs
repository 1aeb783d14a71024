use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// Something that has work to do every second, away from requests.
pub(super) trait Ticked: Send + Sync {
    fn tick(&self);
}

const SECOND: Duration = Duration::from_secs(1);

/// Calls it every second until it is dropped. One thread serves all; it ends when nothing is left. Not the watchdog's
/// thread: what is done here calls strangers' code, which may block.
pub(super) fn every_second(ticked: Weak<dyn Ticked>) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.ticked.push(ticked);
    if !state.running {
        // Without the thread there is no history: try again with the next one.
        state.running = thread::Builder::new()
            .name("guard-observe".to_owned())
            .spawn(run)
            .is_ok();
    }
}

struct State {
    ticked: Vec<Weak<dyn Ticked>>,
    running: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    ticked: Vec::new(),
    running: false,
});

fn run() {
    let mut due = Instant::now() + SECOND;
    loop {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // After a long sleep of the machine nothing is made up for.
        due = (due + SECOND).max(Instant::now());
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        state.ticked.retain(|ticked| ticked.strong_count() > 0);
        if state.ticked.is_empty() {
            state.running = false;
            return;
        }
        let live: Vec<_> = state.ticked.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        for ticked in live {
            // A recorder or a ledger that panics once is asked again.
            let _ = catch_unwind(AssertUnwindSafe(|| ticked.tick()));
        }
    }
}
