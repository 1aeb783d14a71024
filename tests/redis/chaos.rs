//! Nodes that write, delete, die and come back, over a network and an engine that fail, by chance. What is written never
//! exceeds the limit, beyond what each kind of fault is known to cost, and in the end all of the limit can be used.

use tower_storage_guard::Leasing;

use crate::{
    dice::Dice,
    fleet::{Fleet, Truth},
    proxy::Mode,
    redis_server::RedisServer,
};

const NODES: usize = 3;
const LIMIT: u64 = 1_000_000;
const LARGEST: u64 = 40_000;
const CHUNK: u64 = 10_000;
const OPERATIONS: usize = 600;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    RequestsAndRepliesAreLost,
    RequestsComeAgain,
    ScriptsAreFlushed,
    /// With an append-only file, so that nothing is lost.
    EngineDies,
    /// And comes back with what it had saved some time before.
    EngineRollsBack,
    EngineForgetsAll,
    NodesCrash,
    NodesRestart,
}

fn hold(leasing: Leasing, _: &Truth) -> Leasing {
    leasing
}

fn measuring(leasing: Leasing, truth: &Truth) -> Leasing {
    let truth = truth.clone();
    leasing.measure_missing(move |_: &str| Ok::<_, std::io::Error>(truth.bytes()))
}

fn nothing_is_exceeded(settings: &[&str], faults: &[Fault], seeds: std::ops::Range<u64>) {
    let leasing = if faults.contains(&Fault::EngineForgetsAll) {
        measuring
    } else {
        hold
    };
    let mut tight = 0;
    for seed in seeds {
        let Some(server) = RedisServer::with(settings) else {
            return;
        };
        let mut fleet = Fleet::new(server, NODES, LIMIT, leasing);
        tight += run(&mut fleet, faults, seed);
        for member in &mut fleet.members {
            member.grants.clear();
        }
        let context = format!("seed {seed}");
        fleet.measure();
        if fleet.truth.bytes() > fleet.limit / 2 {
            let surplus = fleet.truth.bytes() - fleet.limit / 2;
            let truth = fleet.truth.clone();
            fleet.members[0].delete(surplus, &truth);
        }
        fleet.assert_fills(&context);
    }
    assert!(
        tight > 100,
        "it was near the limit {tight} times only, and tells nothing"
    );
}

/// Tells how often it was near the limit.
fn run(fleet: &mut Fleet, faults: &[Fault], seed: u64) -> u32 {
    let loses_data = faults.contains(&Fault::EngineRollsBack) || faults.contains(&Fault::EngineForgetsAll);
    // What the nodes held, and what was under way, can have been given out again.
    let bound = if loses_data {
        NODES as u64 * (CHUNK + LARGEST)
    } else {
        0
    };
    let mut dice = Dice::new(seed);
    let mut repeatable = Vec::new();
    // There is a record in whatever it returns to: one that is lost is not leased from for some time.
    let _ = fleet.members[0].reserve(1);
    fleet.server.command::<()>(&["SAVE"]);
    let mut tight = 0;
    for operation in 0..OPERATIONS {
        let number = dice.below(NODES as u64) as usize;
        for &fault in faults {
            happen(fleet, fault, number, &mut dice, &mut repeatable);
        }
        operate(fleet, number, &mut dice, loses_data);
        for member in &fleet.members {
            member.proxy.requests(Mode::Pass);
            member.proxy.replies(Mode::Pass);
        }
        // What was leased by a node that crashed counts as stored until then.
        if operation % 50 == 0 && faults.contains(&Fault::NodesCrash) {
            fleet.measure();
        }
        let taken = fleet.taken();
        tight += u32::from(taken > LIMIT / 100 * 95);
        assert!(
            taken <= LIMIT + bound,
            "{taken} of {LIMIT} bytes are taken after operation {operation} of seed {seed}"
        );
    }
    tight
}

fn operate(fleet: &mut Fleet, number: usize, dice: &mut Dice, is_careful: bool) {
    let truth = fleet.truth.clone();
    let member = &mut fleet.members[number];
    let index = dice.below(member.grants.len().max(1) as u64) as usize;
    match dice.below(100) {
        // What is under way is part of the bound.
        0..45 if !is_careful || member.grants.is_empty() => _ = member.reserve(1 + dice.below(LARGEST)),
        0..75 if !member.grants.is_empty() => {
            let reserved = member.grants[index].reserved();
            let written = if dice.one_in(3) {
                dice.below(reserved + 1)
            } else {
                reserved
            };
            member.commit(index, written, &truth);
        }
        75..80 if !member.grants.is_empty() => drop(member.grants.swap_remove(index)),
        // Where it is nearly full is where it gets tight.
        80..84 if truth.bytes() > LIMIT / 10 * 9 => member.delete(1 + dice.below(LARGEST * 2), &truth),
        84..92 => member.beat(),
        _ => member.step(),
    }
}

fn happen(fleet: &mut Fleet, fault: Fault, number: usize, dice: &mut Dice, repeatable: &mut Vec<Vec<u8>>) {
    let member = &fleet.members[number];
    match fault {
        Fault::RequestsAndRepliesAreLost => match dice.below(8) {
            0 => member.proxy.requests(Mode::Break),
            1 | 2 => member.proxy.replies(Mode::Break),
            _ => {}
        },
        Fault::RequestsComeAgain => {
            repeatable.append(&mut member.proxy.take_requests());
            if dice.one_in(3) && !repeatable.is_empty() {
                let late = dice.below(repeatable.len() as u64) as usize;
                member.proxy.replay(&repeatable[late]);
            }
        }
        Fault::ScriptsAreFlushed if dice.one_in(20) => fleet.server.command(&["SCRIPT", "FLUSH"]),
        Fault::EngineDies if dice.one_in(60) => fleet.server.restart(),
        Fault::EngineRollsBack => match dice.below(150) {
            0 => fleet.server.restart(),
            1..6 => fleet.server.command(&["SAVE"]),
            _ => {}
        },
        Fault::EngineForgetsAll if dice.one_in(150) => fleet.server.command(&["FLUSHALL"]),
        Fault::NodesCrash if dice.one_in(40) => fleet.crash(number, |reserved| dice.below(reserved + 1)),
        Fault::NodesRestart if dice.one_in(40) => fleet.restart(number),
        _ => {}
    }
}

#[test]
fn a_network_that_loses_and_repeats() {
    let faults = [Fault::RequestsAndRepliesAreLost, Fault::RequestsComeAgain];
    nothing_is_exceeded(&[], &faults, 0..4);
}

#[test]
fn nodes_that_crash_and_restart() {
    let faults = [Fault::NodesCrash, Fault::NodesRestart, Fault::RequestsAndRepliesAreLost];
    nothing_is_exceeded(&[], &faults, 0..4);
}

#[test]
fn an_engine_that_dies_and_loses_nothing() {
    let faults = [Fault::EngineDies, Fault::ScriptsAreFlushed, Fault::NodesCrash];
    nothing_is_exceeded(&["--appendonly", "yes", "--appendfsync", "always"], &faults, 0..2);
}

#[test]
fn an_engine_that_rolls_back() {
    let faults = [Fault::EngineRollsBack, Fault::RequestsAndRepliesAreLost];
    nothing_is_exceeded(&[], &faults, 0..4);
}

#[test]
fn an_engine_that_forgets_all() {
    let faults = [Fault::EngineForgetsAll, Fault::RequestsAndRepliesAreLost];
    nothing_is_exceeded(&[], &faults, 0..4);
}
