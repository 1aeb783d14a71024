//! The account against a simulated disk: whatever uploads do, nobody runs into a full disk, and all room comes back.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;

use super::{Account, Closing, Reconciler, WriteBuffer};

/// What is broken on purpose, to see that the simulation would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Closed bytes are taken after the measurement instead of before.
    TakesClosedAfterMeasuring,
    /// The sampler takes writes as visible at once.
    ForgetsLag,
    /// Handlers keep more unwritten than the write buffer.
    HandlersBreakTheContract,
    /// What a hold has left is given back as soon as it ends.
    RefundsAtTheEnd,
}

#[derive(Clone, Copy, Debug)]
struct World {
    seed: u64,
    /// Milliseconds until a write shows.
    lag: u64,
    write_buffer: u64,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Outcome {
    no_space: u64,
    admitted: u64,
    refused: u64,
    /// Headroom less true free space after everything has ended.
    drift: i64,
    fullest: u64,
}

const DISK: u64 = 100 << 20;
const STEPS: u32 = 3000;

struct Disk {
    used: u64,
    fullest: u64,
    visible_used: i64,
    /// Changes that do not show yet: when they will, and by how much.
    pending: VecDeque<(u64, i64)>,
    lag: u64,
    no_space: u64,
}

impl Disk {
    fn write(&mut self, now: u64, bytes: u64) -> u64 {
        let written = bytes.min(DISK - self.used);
        if written < bytes {
            self.no_space += 1;
        }
        self.used += written;
        self.fullest = self.fullest.max(self.used);
        self.pending.push_back((now + self.lag, written as i64));
        written
    }

    fn delete(&mut self, now: u64, bytes: u64) {
        self.used -= bytes;
        self.pending.push_back((now + self.lag, -(bytes as i64)));
    }

    fn available(&mut self, now: u64) -> i64 {
        while let Some((_, change)) = self.pending.front().copied().filter(|(due, _)| *due <= now) {
            self.visible_used += change;
            self.pending.pop_front();
        }
        DISK as i64 - self.visible_used
    }
}

/// How a handler goes about writing.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// Keeps at most this much unwritten when it asks for more.
    Streams(u64),
    /// Collects everything first.
    Collects,
    /// Takes the room for everything at the first frame.
    Allocates,
}

struct Upload {
    size: u64,
    style: Style,
    relayed: u64,
    closing: Closing,
    held: u64,
    polled: bool,
    written: u64,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

struct Simulation {
    world: World,
    dice: Dice,
    now: u64,
    disk: Disk,
    account: Account,
    reconciler: Reconciler,
    uploads: Vec<Upload>,
    /// Sizes of complete files.
    files: Vec<u64>,
    /// A measurement under way: when it began, and what it saw if it has looked already.
    measuring: Option<(u64, Option<i64>)>,
    outcome: Outcome,
}

impl Simulation {
    fn new(world: World) -> Self {
        let account = Account::new(0);
        let reconciler = Reconciler::open(&account, DISK as i64);
        Self {
            world,
            dice: Dice(world.seed),
            now: 0,
            disk: Disk {
                used: 0,
                fullest: 0,
                visible_used: 0,
                pending: VecDeque::new(),
                lag: world.lag,
                no_space: 0,
            },
            account,
            reconciler,
            uploads: Vec::new(),
            files: Vec::new(),
            measuring: None,
            outcome: Outcome::default(),
        }
    }

    fn run(mut self) -> Outcome {
        for _ in 0..STEPS {
            self.now += self.dice.below(4);
            match self.dice.below(12) {
                0..=2 => self.arrive(),
                3 => self.sample_a_little(),
                4 if self.dice.one_in(2) => self.delete_a_file(),
                _ => (0..8).for_each(|_| self.continue_an_upload()),
            }
        }
        while !self.uploads.is_empty() {
            self.continue_an_upload();
        }
        // Everything shows by now; two whole samples let it.
        self.now += 2 * self.world.lag + 1;
        for _ in 0..9 {
            self.sample_a_little();
            self.now += self.world.lag + 1;
        }
        self.outcome.no_space = self.disk.no_space;
        self.outcome.fullest = self.disk.fullest;
        self.outcome.drift = self.account.headroom() - (DISK - self.disk.used) as i64;
        self.outcome
    }

    fn arrive(&mut self) {
        let size = match self.dice.below(3) {
            0 => 1 + self.dice.below(100 << 10),
            1 => 1 + self.dice.below(4 << 20),
            _ => 1 + self.dice.below(30 << 20),
        };
        if !self.account.try_reserve(size) {
            self.outcome.refused += 1;
            return;
        }
        self.outcome.admitted += 1;
        let buffer = self.world.write_buffer;
        let style = match self.dice.below(4) {
            0 => Style::Collects,
            1 => Style::Allocates,
            _ if self.world.fault == Fault::HandlersBreakTheContract => Style::Streams(size),
            _ => Style::Streams(self.dice.below(buffer + 1)),
        };
        // A handler that collects more than the buffer is declared as such, if it keeps to the contract.
        let breaks = self.world.fault == Fault::HandlersBreakTheContract;
        let write_buffer = match style {
            Style::Collects if size > buffer && !breaks => WriteBuffer::Whole,
            _ => WriteBuffer::Bytes(buffer),
        };
        self.uploads.push(Upload {
            size,
            style,
            relayed: 0,
            closing: Closing::new(write_buffer),
            held: size,
            polled: false,
            written: 0,
        });
    }

    fn continue_an_upload(&mut self) {
        if self.uploads.is_empty() {
            return;
        }
        let place = self.dice.below(self.uploads.len() as u64) as usize;
        if self.dice.one_in(60) {
            return self.abort(place);
        }
        let upload = &mut self.uploads[place];
        // The handler writes until it may ask for more.
        let relayed = upload.relayed;
        let is_complete = relayed == upload.size;
        let write_up_to = match upload.style {
            _ if is_complete => upload.size,
            Style::Allocates if upload.polled => upload.size,
            Style::Streams(keeps) => relayed.saturating_sub(keeps),
            Style::Collects | Style::Allocates => 0,
        };
        if write_up_to > upload.written {
            let most = write_up_to - upload.written;
            // In pieces, so that samples come in between.
            let bytes = most.min(1 + self.dice.below(2 << 20));
            let written = self.disk.write(self.now, bytes);
            upload.written += written;
            if written < bytes {
                return self.abort(place);
            }
            return;
        }
        if is_complete {
            return self.finish(place);
        }
        upload.polled = true;
        if let Some((before, now)) = upload.closing.advance(upload.relayed) {
            upload.held -= now - before;
            self.account.close(now - before);
        }
        let frame = (1 + self.dice.below(512 << 10)).min(upload.size - relayed);
        upload.relayed += frame;
    }

    fn finish(&mut self, place: usize) {
        let upload = self.uploads.swap_remove(place);
        self.files.push(upload.written);
        self.end(&upload);
    }

    fn abort(&mut self, place: usize) {
        let upload = self.uploads.swap_remove(place);
        // The partial file goes before or after the hold.
        if self.dice.one_in(2) {
            self.disk.delete(self.now, upload.written);
            self.end(&upload);
        } else {
            self.end(&upload);
            self.files.push(upload.written);
        }
    }

    fn end(&mut self, upload: &Upload) {
        if !upload.polled || self.world.fault == Fault::RefundsAtTheEnd {
            self.account.refund(upload.held);
        } else {
            self.account.close(upload.held);
        }
    }

    fn delete_a_file(&mut self) {
        if !self.files.is_empty() {
            let place = self.dice.below(self.files.len() as u64) as usize;
            let size = self.files.swap_remove(place);
            self.disk.delete(self.now, size);
        }
    }

    /// Begins a measurement, looks, or takes the reading in; requests go on in between.
    fn sample_a_little(&mut self) {
        let late = self.world.fault == Fault::TakesClosedAfterMeasuring;
        let lag = if self.world.fault == Fault::ForgetsLag {
            0
        } else {
            self.world.lag
        };
        match self.measuring.take() {
            None => {
                if !late {
                    self.reconciler
                        .before_measuring(&self.account, milliseconds(self.now), milliseconds(lag));
                }
                self.measuring = Some((self.now, None));
            }
            Some((began, None)) => self.measuring = Some((began, Some(self.disk.available(self.now)))),
            Some((began, Some(available))) => {
                let mut shows_until = began.checked_sub(lag);
                if late {
                    self.reconciler
                        .before_measuring(&self.account, milliseconds(self.now), milliseconds(lag));
                    shows_until = self.now.checked_sub(lag);
                }
                self.reconciler
                    .after_measuring(&self.account, available, shows_until.map(milliseconds));
            }
        }
    }
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn run(world: World) -> Outcome {
    Simulation::new(world).run()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nobody_meets_a_full_disk_and_all_room_comes_back(
        seed: u64,
        lag in prop_oneof![Just(0_u64), 1..15_u64, 100..1000_u64],
        write_buffer in prop_oneof![Just(0_u64), 0..(16_u64 << 20)],
    ) {
        let outcome = run(World { seed, lag, write_buffer, fault: Fault::None });
        prop_assert_eq!(outcome.no_space, 0, "{:?}", &outcome);
        prop_assert_eq!(outcome.drift, 0, "{:?}", &outcome);
        prop_assert!(outcome.admitted > 0);
    }
}

/// A guard that refuses everything would pass the test above.
#[test]
fn the_disk_does_get_full() {
    let outcomes: Vec<_> = (0..100).map(|seed| run(world(seed, 0, Fault::None))).collect();
    let fullest = outcomes.iter().map(|outcome| outcome.fullest).max().expect("some");
    assert!(fullest > DISK / 100 * 97, "{fullest} of {DISK}");
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.refused > 0 && outcome.admitted > outcome.refused / 10)
    );
}

#[test]
fn taking_closed_after_the_measurement_is_found() {
    assert_found(Fault::TakesClosedAfterMeasuring, 0);
    assert_found(Fault::TakesClosedAfterMeasuring, 15);
}

#[test]
fn forgetting_the_lag_is_found() {
    assert_found(Fault::ForgetsLag, 15);
    assert_found(Fault::ForgetsLag, 500);
}

#[test]
fn handlers_that_break_the_contract_are_found() {
    assert_found(Fault::HandlersBreakTheContract, 0);
}

#[test]
fn refunding_at_the_end_is_found() {
    assert_found(Fault::RefundsAtTheEnd, 0);
}

fn world(seed: u64, lag: u64, fault: Fault) -> World {
    World {
        seed,
        lag,
        write_buffer: 1 << 20,
        fault,
    }
}

/// A fault shows as a full disk in a good part of the worlds in which there is none without it.
fn assert_found(fault: Fault, lag: u64) {
    let found = (0..200)
        .filter(|&seed| run(world(seed, lag, fault)).no_space > 0)
        .count();
    let without = (0..200)
        .filter(|&seed| run(world(seed, lag, Fault::None)).no_space > 0)
        .count();
    assert_eq!(without, 0);
    assert!(found >= 10, "{fault:?} was found in {found} of 200 worlds only");
}
