//! Nanoseconds. All layers of a case take turns, many times: one after the other each would meet another machine.

use peers::{
    meter::{Clock, Nothing},
    report::{Figures, quartiles},
    suite::{cases, in_runtime},
};

fn main() {
    in_runtime(measure);
}

fn measure() {
    let rounds: usize = std::env::var("PEERS_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(400);
    let only = std::env::args().nth(1);
    let mut figures = Figures::default();
    for case in cases() {
        if only.as_ref().is_some_and(|only| case.name != only) {
            continue;
        }
        let mut benches = (case.build)();
        let times = (case.batch * case.units) as f64;
        for bench in &mut benches {
            bench.run(&mut Nothing, case.batch);
        }
        let mut taken = vec![Vec::with_capacity(rounds); benches.len()];
        for round in 0..rounds {
            for turn in 0..benches.len() {
                // Nobody always comes after the same one.
                let at = (turn * if round % 2 == 0 { 1 } else { benches.len() - 1 } + round) % benches.len();
                let mut clock = Clock::default();
                benches[at].run(&mut clock, case.batch);
                taken[at].push(clock.nanoseconds / times);
            }
        }
        let bare = taken[0].clone();
        for (bench, taken) in benches.iter().zip(&mut taken) {
            let mut above: Vec<_> = taken.iter().zip(&bare).map(|(taken, bare)| taken - bare).collect();
            let above = quartiles(&mut above);
            let whole = quartiles(taken);
            println!(
                "{:>9.2} {:>+9.2}  {:36} {}",
                whole[1], above[1], case.name, bench.subject
            );
            for (what, value) in ["above q1", "above", "above q3"].iter().zip(above) {
                figures.put(case.name, bench.subject, what, value);
            }
            figures.put(case.name, bench.subject, "nanoseconds", whole[1]);
        }
    }
    if only.is_none() {
        peers::threads::measure(&mut figures);
        figures.save("time").expect("figures are kept");
    }
}
