use std::{
    sync::{Mutex, Weak},
    thread,
    time::Duration,
};

use crate::sync::lock;

/// Something that must be looked at from time to time by somebody other than its own thread, which may hang.
pub(crate) trait Watched: Send + Sync {
    /// Looks whether the last reading is too old.
    fn check_age(&self);
}

/// How often ages are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Watches it until it is dropped. One thread serves all; it ends when nothing is left to watch.
pub(crate) fn watch(watched: Weak<dyn Watched>) {
    let mut state = lock(&STATE);
    state.watched.push(watched);
    if !state.running {
        // Without the thread a silent probe would go unnoticed: try again with the next resource.
        state.running = thread::Builder::new()
            .name("guard-watchdog".to_owned())
            .spawn(run)
            .is_ok();
    }
}

struct State {
    watched: Vec<Weak<dyn Watched>>,
    running: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    watched: Vec::new(),
    running: false,
});

fn run() {
    let mut state = lock(&STATE);
    loop {
        state.watched.retain(|watched| watched.strong_count() > 0);
        if state.watched.is_empty() {
            state.running = false;
            return;
        }
        let live: Vec<_> = state.watched.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        for watched in live {
            watched.check_age();
        }
        thread::sleep(TICK);
        state = lock(&STATE);
    }
}
