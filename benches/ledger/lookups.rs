use std::{hint::black_box, time::Instant};

use tower_storage_guard::{Ledger, Limit};

use crate::{
    bare_map::{BareMap, LIMIT},
    names::{Asked, names},
};

const ROUNDS: usize = 31;
/// In each round.
const REQUESTS: usize = 100_000;
const BYTES: u64 = 1000;

pub(crate) struct Lookups {
    names: Vec<String>,
    ledger: Ledger,
    bare: BareMap,
}

/// Nanoseconds of one reservation with its release; the ratio is the median of those of all rounds.
pub(crate) struct Cost {
    pub(crate) ledger: f64,
    pub(crate) bare: f64,
    pub(crate) ratio: f64,
}

impl Lookups {
    pub(crate) fn new(tenants: usize) -> Self {
        let names = names(tenants);
        let ledger = Ledger::builder().default_limit(Limit::bytes(LIMIT)).build().unwrap();
        for name in &names {
            // Who has nothing stored is forgotten.
            ledger.charge(name, 1);
        }
        let bare = BareMap::new(&names);
        Self { names, ledger, bare }
    }

    pub(crate) fn measure(&self, asked: Asked) -> Cost {
        let places = asked.places(self.names.len(), ROUNDS * REQUESTS);
        let mut rounds: Vec<(f64, f64)> = places
            .chunks(REQUESTS)
            .enumerate()
            .map(|(round, places)| {
                let ledger = || {
                    each(places, &self.names, |name| {
                        drop(self.ledger.try_reserve(name, BYTES).unwrap())
                    })
                };
                let bare = || {
                    each(places, &self.names, |name| {
                        drop(self.bare.reserve(name, BYTES).unwrap())
                    })
                };
                // Whoever comes second finds the names in the cache.
                if round % 2 == 0 {
                    let first = ledger();
                    (first, bare())
                } else {
                    let first = bare();
                    (ledger(), first)
                }
            })
            .collect();
        rounds.remove(0);
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Cost {
            ledger: median(|round| round.0),
            bare: median(|round| round.1),
            ratio: median(|round| round.0 / round.1),
        }
    }
}

fn each(places: &[usize], names: &[String], action: impl Fn(&str)) -> f64 {
    let start = Instant::now();
    for &place in places {
        action(black_box(&names[place]));
    }
    start.elapsed().as_nanos() as f64 / places.len() as f64
}
