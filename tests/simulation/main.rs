//! The whole guard in a world of its own: simulated disks on which writes show late, a clock that stands still, and every
//! future and body polled by hand in an order that a seed picks. So a schedule comes out the same for the same seed.
//!
//! `SEED=7 cargo test --test simulation schedules -- --nocapture` runs one schedule and prints all that happens in it;
//! `SCHEDULES=100000` runs more of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod bodies;
mod changes;
#[path = "../support/dice.rs"]
mod dice;
mod disk;
mod draw;
mod ending;
mod file;
mod handler;
mod holdings;
mod ledgers;
mod life;
mod model;
mod plan;
mod setup;
mod site;
mod steady;
mod storing;
mod task;
mod upload;
mod world;

use std::{collections::BTreeMap, ops::Range};

use site::Fault;
use world::{Outcome, World};

/// What has to happen in a thousand schedules. Otherwise they would test less than they seem to.
const EXPECTED: [&str; 65] = [
    "abort: before the answer",
    "abort: of a task",
    "abort: of the response body",
    "added: a copy",
    "added: bytes that a hint announced",
    "announced: bytes of later requests",
    "answered: before the body was read",
    "answered: by the handler",
    "answered: while the body is read on",
    "asked a store",
    "body dropped early: no refusal",
    "body dropped early: the handle is kept",
    "body: error",
    "body: hangs",
    "body: declares too little",
    "body: trailers",
    "charge of two ledgers",
    "closed early",
    "cut off",
    "deleted",
    "deleted by others",
    "disk: almost full",
    "exempt",
    "external write",
    "handle: outlives a request without answer",
    "handle: outlives the answer",
    "handler: fails",
    "handler: panics",
    "handler: reports what it stored",
    "hint: equal to the body",
    "hint: larger than the body",
    "hint: of a method that creates",
    "hint: smaller than the body",
    "hint: the body brings more",
    "hint: the body brings more, with leases",
    "hint: zero",
    "late failure",
    "late failure: of one user or one file",
    "late failure: the body is dropped",
    "late failure: the body is kept",
    "left early: aborted",
    "left early: the body failed",
    "left early: where writes show late",
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
    "steady overwrites where writes show late",
    "store: fails",
    "store: loses a reply",
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
    if let Some((seed, _)) = failures.first() {
        panic!(
            "{} of {count} schedules failed. The first of each kind:\n{}\n\
             To see it: SEED={seed} cargo test --test simulation schedules -- --nocapture",
            failures.len(),
            kinds(&failures)
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

// Faults that the guard does not bear, by its documentation. A simulation in which they do no harm would find nothing.

#[test]
fn handlers_that_keep_more_than_their_buffer_fill_the_disk() {
    assert_found(Fault::HandlersKeepTooMuch, NO_SPACE);
}

/// As if finished requests were given back after a measurement that began before they finished.
#[test]
fn readings_that_are_older_than_they_say_fill_the_disk() {
    assert_found(Fault::OldReadings, NO_SPACE);
}

#[test]
fn a_lag_that_is_not_told_fills_the_disk() {
    assert_found(Fault::HiddenLag, NO_SPACE);
}

#[test]
fn others_who_write_more_than_the_floor_fill_the_disk() {
    assert_found(Fault::OthersWriteTooMuch, NO_SPACE);
}

#[test]
fn copies_larger_than_their_claim_fill_the_disk() {
    assert_found(Fault::CopiesExceedTheirClaim, NO_SPACE);
}

#[test]
fn handles_dropped_before_the_write_fill_the_disk() {
    assert_found(Fault::HandlesAreDroppedEarly, NO_SPACE);
}

#[test]
fn forgotten_handles_hold_their_room() {
    assert_found(Fault::HandlesAreForgotten, "but it is over");
}

#[test]
fn without_linger_the_body_goes_before_the_refusal() {
    assert_found(Fault::LingerIsOff, "gone too early");
}

#[test]
fn an_overstated_lag_keeps_bytes_unseen() {
    assert_found(Fault::LagIsOverstated, "unseen, but");
}

#[test]
fn a_store_that_allows_more_exceeds_the_limit() {
    assert_found(Fault::StoreAllowsMore, "above its limit");
}

const NO_SPACE: &str = "no space";

fn assert_found(fault: Fault, expected: &str) {
    let (count, _, failures) = run(0..200, fault);
    assert!(
        failures.len() >= 10,
        "{fault:?} was found in {} of {count}",
        failures.len()
    );
    for (seed, wrong) in failures {
        assert!(wrong.contains(expected), "seed {seed}: {wrong}");
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

/// The first failure of each kind, and how many there are. Numbers make no difference.
fn kinds(failures: &[(u64, String)]) -> String {
    let mut kinds = BTreeMap::<String, (usize, String)>::new();
    for (seed, wrong) in failures {
        let kind = wrong.replace(|letter: char| letter.is_ascii_digit(), "");
        let first = || (0, format!("seed {seed}: {wrong}"));
        kinds.entry(kind).or_insert_with(first).0 += 1;
    }
    let mut lines: Vec<_> = kinds
        .into_values()
        .map(|(count, first)| format!("{count} like {first}"))
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
    lines.truncate(20);
    lines.join("\n")
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}
