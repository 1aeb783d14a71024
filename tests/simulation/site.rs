//! What handlers and the world share: chance, time, disks, files, and notes of what happened.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, atomic::AtomicBool},
};

use tower_storage_guard::test_util::ManualClock;

use crate::{
    dice::Dice,
    disk::{Disk, NoSpace},
    plan::Plan,
};

/// A fault of the world around the guard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    HandlersKeepTooMuch,
    OldReadings,
    HiddenLag,
    OthersWriteTooMuch,
    CopiesExceedTheirClaim,
    HandlesAreDroppedEarly,
    HandlesAreForgotten,
    LingerIsOff,
    LagIsOverstated,
    StoreAllowsMore,
}

pub(crate) type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) struct Site {
    pub(crate) fault: Fault,
    pub(crate) clock: ManualClock,
    pub(crate) disks: Vec<Mutex<Disk>>,
    pub(crate) spawned: Mutex<Vec<(Plan, Background)>>,
    pub(crate) files: Mutex<Vec<Stored>>,
    /// Probes look, and nothing else happens.
    pub(crate) is_quiet: AtomicBool,
    /// There is a runtime, so bodies can be kept for clients that still send.
    pub(crate) lingers: bool,
    dice: Mutex<Dice>,
    notes: Mutex<Notes>,
}

/// A file, or what was left of one.
pub(crate) struct Stored {
    pub(crate) disks: Vec<usize>,
    pub(crate) bytes: u64,
    /// What its directory needed.
    pub(crate) beside: Vec<u64>,
    /// Whose it is, and by which request, if that got to its end.
    pub(crate) of: Option<(usize, usize)>,
    /// What was charged for it.
    pub(crate) charged: u64,
}

#[derive(Default)]
struct Notes {
    keeps_trace: bool,
    trace: Vec<String>,
    wrong: Option<String>,
    totals: BTreeMap<&'static str, u64>,
}

impl Site {
    pub(crate) fn new(fault: Fault, mut dice: Dice, disks: Vec<Disk>, keeps_trace: bool) -> Self {
        Self {
            fault,
            clock: ManualClock::new(),
            disks: disks.into_iter().map(Mutex::new).collect(),
            spawned: Mutex::default(),
            files: Mutex::default(),
            is_quiet: AtomicBool::new(false),
            lingers: fault == Fault::LingerIsOff || dice.one_in(2),
            dice: Mutex::new(dice),
            notes: Mutex::new(Notes {
                keeps_trace,
                ..Notes::default()
            }),
        }
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.dice.lock().unwrap().below(bound)
    }

    pub(crate) fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn with_dice<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.lock().unwrap())
    }

    /// Starts a task that works on a request beside its handler.
    pub(crate) fn spawn(&self, plan: &Plan, task: impl Future<Output = ()> + Send + 'static) {
        self.spawned.lock().unwrap().push((plan.clone(), Box::pin(task)));
    }

    /// Milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    pub(crate) fn disk(&self, at: usize) -> MutexGuard<'_, Disk> {
        self.disks[at].lock().unwrap()
    }

    /// Writes, and takes it amiss when there is no room: that is what the guard is there for.
    pub(crate) fn take(&self, at: usize, bytes: u64, inodes: u64) -> Result<(), NoSpace> {
        let delay = self.delay(at);
        let mut disk = self.disk(at);
        let outcome = disk.take(bytes, inodes, self.now(), delay);
        if disk.fullest > disk.total / 100 * 97 {
            self.count("disk: almost full");
        }
        if outcome.is_err() && !disk.is_tainted {
            let free = disk.truly_free();
            self.wrong(|| format!("no space for {bytes} bytes and {inodes} inodes on disk {at}: {free} free"));
        }
        outcome
    }

    pub(crate) fn free(&self, at: usize, bytes: u64, inodes: u64) {
        let delay = self.delay(at);
        self.disk(at).free(bytes, inodes, self.now(), delay);
    }

    /// Deletes a file from all its disks.
    pub(crate) fn delete(&self, file: &Stored) {
        for (&at, beside) in file.disks.iter().zip(&file.beside) {
            let size = self.disk(at).size_on_disk(file.bytes);
            self.free(at, size + beside, 1);
        }
    }

    pub(crate) fn delay(&self, at: usize) -> u64 {
        let lag = self.disk(at).lag;
        if lag == 0 || self.one_in(2) {
            lag
        } else {
            self.below(lag + 1)
        }
    }

    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        let mut notes = self.notes.lock().unwrap();
        if notes.keeps_trace {
            let line = format!("{:>6} ms  {}", self.now(), words());
            notes.trace.push(line);
        }
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.notes.lock().unwrap().totals.entry(what).or_default() += 1;
    }

    /// Only the first counts: what follows is its consequence.
    pub(crate) fn wrong(&self, words: impl Fn() -> String) {
        self.say(|| format!("WRONG: {}", words()));
        let mut notes = self.notes.lock().unwrap();
        notes.wrong.get_or_insert_with(&words);
    }

    pub(crate) fn check(&self, holds: bool, words: impl Fn() -> String) {
        if !holds {
            self.wrong(words);
        }
    }

    pub(crate) fn is_wrong(&self) -> bool {
        self.notes.lock().unwrap().wrong.is_some()
    }

    pub(crate) fn outcome(&self) -> crate::Outcome {
        let notes = std::mem::take(&mut *self.notes.lock().unwrap());
        crate::Outcome {
            wrong: notes.wrong,
            trace: notes.trace,
            totals: notes.totals,
        }
    }
}
