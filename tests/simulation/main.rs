//! The whole guard in a world of its own: simulated disks on which writes show late, a clock that stands still, and every
//! future and body polled by hand in an order that a seed picks. So a schedule comes out the same for the same seed.
//!
//! `SEED=7 cargo test --test simulation schedules -- --nocapture` runs one schedule and tells all that happens in it;
//! `SCHEDULES=100000` runs more of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod books;
mod changes;
mod closings;
#[path = "../support/dice.rs"]
mod dice;
mod disk;
mod ending;
mod handler;
mod life;
mod model;
mod plan;
mod site;
mod task;
mod world;

use std::{collections::BTreeMap, ops::Range};

use site::Fault;
use world::{Outcome, World};

/// What has to happen in some thousand schedules: otherwise they would test less than they seem to.
const EXPECTED: [&str; 49] = [
    "abort: before the answer",
    "abort: of the response body",
    "answered: before the body was read",
    "answered: by the handler",
    "answered: while the body is read on",
    "asked a store",
    "body: error",
    "body: grows beyond its hint",
    "body: hangs",
    "body: trailers",
    "body: tells too little",
    "charge of two ledgers",
    "client leaves early",
    "closed early",
    "cut off",
    "deleted",
    "deleted by others",
    "disk: almost full",
    "exempt",
    "external write",
    "handler: fails",
    "handler: panics",
    "handler: tells what it stored",
    "late failure",
    "late failure: quota",
    "probe: fails",
    "probe: hangs",
    "probe: too old",
    "refused: exceeds_capacity",
    "refused: exceeds_quota",
    "refused: inodes",
    "refused: length_required",
    "refused: quota",
    "refused: space",
    "refused: too_large",
    "refused: unknown_tenant",
    "refused: unmeasured",
    "reload: floor",
    "reload: layer",
    "reload: tenant's limit",
    "reported only",
    "requests while the probe looks",
    "rolled back",
    "steady traffic on a lagging disk",
    "stops while the client sends",
    "store: fails",
    "store: loses a reply",
    "stored elsewhere",
    "two disks",
];

#[test]
fn schedules() {
    if let Some(seed) = number("SEED") {
        let outcome = World::run(seed, Fault::None, true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        assert_eq!(outcome.wrong, None, "seed {seed}");
        return;
    }
    let (count, happened, failures) = run(0..number("SCHEDULES").unwrap_or(1000), Fault::None);
    if let Some((seed, wrong)) = failures.first() {
        panic!(
            "{} of {count} schedules failed. The first, seed {seed}: {wrong}\n\
             To see it: SEED={seed} cargo test --test simulation schedules -- --nocapture",
            failures.len()
        );
    }
    println!("{count} schedules: {happened:#?}");
    if count >= 1000 {
        let missing: Vec<_> = EXPECTED.iter().filter(|what| !happened.contains_key(*what)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

/// A seed means the same schedule, to the last word of its trace: otherwise a failure could not be replayed.
#[test]
fn a_seed_replays() {
    for seed in 0..40 {
        let first = World::run(seed, Fault::None, true);
        let again = World::run(seed, Fault::None, true);
        assert!(first.trace.len() > 100);
        assert_eq!(first.trace, again.trace, "seed {seed}");
    }
}

/// What the guard says that it cannot bear. A simulation in which that does no harm would find nothing.
#[test]
fn handlers_that_keep_more_than_their_buffer_fill_the_disk() {
    assert_found(Fault::HandlersKeepTooMuch);
}

/// As if finished requests were given back after a measurement that began before they finished.
#[test]
fn readings_that_are_older_than_they_say_fill_the_disk() {
    assert_found(Fault::OldReadings);
}

#[test]
fn a_lag_that_is_not_told_fills_the_disk() {
    assert_found(Fault::HiddenLag);
}

#[test]
fn others_who_write_more_than_the_floor_fill_the_disk() {
    assert_found(Fault::OthersWriteTooMuch);
}

/// A task that writes on has to keep its reservation.
#[test]
fn writes_that_outlive_their_requests_fill_the_disk() {
    assert_found(Fault::WritesGoOn);
}

fn assert_found(fault: Fault) {
    let (count, _, failures) = run(0..200, fault);
    assert!(
        failures.len() >= 10,
        "{fault:?} was found in {} of {count}",
        failures.len()
    );
    for (seed, wrong) in failures {
        assert!(wrong.contains("no space"), "seed {seed}: {wrong}");
    }
}

type Happened = BTreeMap<&'static str, u64>;

/// Two threads, because that many cores are common.
fn run(seeds: Range<u64>, fault: Fault) -> (u64, Happened, Vec<(u64, String)>) {
    let count = seeds.end - seeds.start;
    let half = |odd: u64| {
        let seeds = seeds.clone().filter(move |seed| seed % 2 == odd);
        let (mut happened, mut failures) = (Happened::new(), Vec::new());
        for seed in seeds {
            let Outcome { wrong, totals, .. } = World::run(seed, fault, false);
            failures.extend(wrong.map(|wrong| (seed, wrong)));
            for (what, times) in totals {
                *happened.entry(what).or_default() += times;
            }
        }
        (happened, failures)
    };
    let (even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        (half(0), odd.join().expect("no panic"))
    });
    let (mut happened, mut failures) = even;
    for (what, times) in odd.0 {
        *happened.entry(what).or_default() += times;
    }
    failures.extend(odd.1);
    failures.sort();
    (count, happened, failures)
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}
