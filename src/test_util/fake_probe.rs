use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire},
};

use crate::{
    BoxError,
    capacity::Reading,
    probe::{CapacityProbe, ProbeError},
};

/// A probe that reads what a test says. Clones are the same probe, so keep one to steer it.
#[derive(Clone, Debug)]
pub struct FakeProbe {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    changed: Condvar,
    measurements: AtomicU64,
}

#[derive(Debug)]
struct Script {
    reading: Reading,
    mood: Mood,
}

#[derive(Clone, Debug)]
enum Mood {
    Reads,
    Fails(String),
    Panics(String),
    Hangs,
}

impl FakeProbe {
    /// A probe with this reading.
    #[must_use]
    pub fn new(reading: Reading) -> Self {
        Self {
            shared: Arc::new(Shared {
                script: Mutex::new(Script {
                    reading,
                    mood: Mood::Reads,
                }),
                changed: Condvar::new(),
                measurements: AtomicU64::new(0),
            }),
        }
    }

    /// Reads this from now on.
    pub fn set(&self, reading: Reading) {
        self.change(|script| {
            script.reading = reading;
            script.mood = Mood::Reads;
        });
    }

    /// Changes what is available, in the reading's unit, and leaves the rest of it.
    pub fn set_available(&self, available: u64) {
        self.change(|script| {
            script.reading.available = available;
            script.mood = Mood::Reads;
        });
    }

    /// What it reads, unless it fails.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.lock().reading
    }

    /// Fails with these words from now on.
    pub fn fail(&self, words: impl Into<String>) {
        self.change(|script| script.mood = Mood::Fails(words.into()));
    }

    /// Panics with these words from now on.
    pub fn panic(&self, words: impl Into<String>) {
        self.change(|script| script.mood = Mood::Panics(words.into()));
    }

    /// Hangs from now on, until it is told something else.
    pub fn hang(&self) {
        self.change(|script| script.mood = Mood::Hangs);
    }

    /// How often it was asked.
    #[must_use]
    pub fn measurements(&self) -> u64 {
        self.shared.measurements.load(Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.lock());
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        // A script is sound after any assignment.
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CapacityProbe for FakeProbe {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        self.shared.measurements.fetch_add(1, AcqRel);
        let script = self
            .shared
            .changed
            .wait_while(self.lock(), |script| matches!(script.mood, Mood::Hangs))
            .unwrap_or_else(PoisonError::into_inner);
        let (reading, mood) = (script.reading, script.mood.clone());
        drop(script);
        match mood {
            Mood::Reads | Mood::Hangs => Ok(reading),
            Mood::Fails(words) => Err(ProbeError::custom(BoxError::from(words))),
            // Without the message that a panic prints: it was asked for.
            Mood::Panics(words) => std::panic::resume_unwind(Box::new(words)),
        }
    }
}
