use std::{
    hint::black_box,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use tower_storage_guard::{Ledger, Limit};

use crate::{
    bare_map::{Counters, Figures, LIMIT},
    names::{Asked, names},
};

const ROUNDS: usize = 30;
/// In each round, of each kind.
const REQUESTS: usize = 100_000;
const BYTES: u64 = 1000;

/// One after the other: the ledger, a map of counters, a map of figures.
pub(crate) const KINDS: usize = 3;

pub(crate) struct Lookups {
    names: Vec<String>,
    ledger: Ledger,
    counters: Counters,
    figures: Figures,
}

/// Nanoseconds of one reservation with its release, and of the ledger's for one of each kind: the median of all rounds.
pub(crate) struct Cost {
    pub(crate) nanoseconds: [f64; KINDS],
    pub(crate) ratios: [f64; KINDS],
}

impl Lookups {
    pub(crate) fn new(tenants: usize) -> Self {
        let names = names(tenants);
        let ledger = Ledger::builder().default_limit(Limit::bytes(LIMIT)).build().unwrap();
        for name in &names {
            // Who has nothing stored is forgotten.
            ledger.charge(name, 1);
        }
        let counters = Counters::new(&names, || Arc::new(AtomicU64::new(1)));
        let figures = Figures::new(&names, || 1);
        Self {
            names,
            ledger,
            counters,
            figures,
        }
    }

    pub(crate) fn measure(&self, asked: Asked) -> Cost {
        let places = asked.places(self.names.len(), (ROUNDS + 1) * REQUESTS);
        let mut rounds = Vec::new();
        for (round, places) in places.chunks(REQUESTS).enumerate() {
            let mut costs = [0.0; KINDS];
            // Whoever comes first does not find the names in the cache.
            for turn in 0..KINDS {
                let kind = (round + turn) % KINDS;
                costs[kind] = self.cost(kind, places);
            }
            if round > 0 {
                rounds.push(costs);
            }
        }
        let median = |of: &dyn Fn(&[f64; KINDS]) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Cost {
            nanoseconds: std::array::from_fn(|kind| median(&|costs| costs[kind])),
            ratios: std::array::from_fn(|kind| median(&|costs| costs[0] / costs[kind])),
        }
    }

    fn cost(&self, kind: usize, places: &[usize]) -> f64 {
        let names = places.iter().map(|place| self.names[*place].as_str());
        match kind {
            0 => each(names, |name| drop(self.ledger.try_reserve(name, BYTES).unwrap())),
            1 => each(names, |name| drop(self.counters.reserve(name, BYTES).unwrap())),
            _ => each(names, |name| drop(self.figures.reserve(name, BYTES).unwrap())),
        }
    }
}

fn each<'a>(names: impl ExactSizeIterator<Item = &'a str>, action: impl Fn(&'a str)) -> f64 {
    let count = names.len();
    let start = Instant::now();
    for name in names {
        action(black_box(name));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}
