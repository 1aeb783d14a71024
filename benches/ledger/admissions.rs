use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use tower_storage_guard::{FileStore, Leasing, Ledger, Limit, RedisStore, format_size};

use crate::{
    engine::Engine,
    names::{Asked, names},
};

const REQUESTERS: usize = 64;
const TENANTS: usize = 1000;
const BYTES: u64 = 1 << 20;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(800);

pub(crate) fn table() {
    let runtime = Runtime::new().expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let file = FileStore::open(directory.path().join("ledger")).expect("a file");
    let mut ledgers = vec![
        ("memory".to_owned(), ledger(None)),
        ("file".to_owned(), ledger(Some(Leasing::alone(file)))),
    ];
    let engine = Engine::start();
    match &engine {
        None => println!("skipped: Redis, because redis-server is not installed"),
        Some(engine) => {
            for chunk in [0, 64 << 20] {
                let store = RedisStore::builder(&engine.url())
                    .prefix(format!("bench-{chunk}"))
                    .build()
                    .expect("a URL");
                let name = match chunk {
                    0 => "Redis, exact".to_owned(),
                    bytes => format!("Redis, {} ahead", format_size(bytes)),
                };
                ledgers.push((name, ledger(Some(Leasing::new(store).node("bench").chunk(chunk)))));
            }
        }
    }

    // The first one fills caches and makes records.
    let mut figures = vec![Vec::new(); ledgers.len()];
    for round in 0..=ROUNDS {
        for ((_, ledger), figures) in ledgers.iter().zip(&mut figures) {
            let figure = admit(&runtime, ledger);
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    println!(
        "{:<22}  {:>14}  {:>14}  {:>9}",
        "", "a second", "slowest round", "× memory"
    );
    let mut medians: Vec<f64> = Vec::new();
    for ((name, _), figures) in ledgers.iter().zip(&mut figures) {
        figures.sort_by(f64::total_cmp);
        let median = figures[figures.len() / 2];
        let of_memory = median / medians.first().unwrap_or(&median);
        println!("{name:<22}  {median:>14.0}  {:>14.0}  {of_memory:>9.4}", figures[0]);
        medians.push(median);
    }
    if let [_, _, exact, leased] = medians[..] {
        println!("with leases {:.1} times exact", leased / exact);
    }
    for (_, ledger) in &ledgers {
        ledger.close();
    }
    drop(engine);
}

fn ledger(leasing: Option<Leasing>) -> Ledger {
    // As much as Redis can count.
    let mut builder = Ledger::builder().default_limit(Limit::bytes((1 << 53) - 1));
    if let Some(leasing) = leasing {
        builder = builder.leasing(leasing);
    }
    builder.build().expect("a ledger")
}

/// Admissions a second.
fn admit(runtime: &Runtime, ledger: &Ledger) -> f64 {
    let names = Arc::new(names(TENANTS));
    let places = Arc::new(Asked::Zipf.places(TENANTS, 1 << 16));
    let admitted = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let requesters: Vec<_> = (0..REQUESTERS)
        .map(|requester| {
            let (ledger, names, places, admitted) = (ledger.clone(), names.clone(), places.clone(), admitted.clone());
            runtime.spawn(async move {
                let mut mine = 0;
                let own = places.iter().cycle().skip(requester * places.len() / REQUESTERS);
                for (count, &place) in own.enumerate() {
                    ledger
                        .reserve(&names[place], BYTES)
                        .await
                        .expect("there is room")
                        .commit(BYTES);
                    mine += 1;
                    if count % 16 == 0 {
                        if start.elapsed() >= ROUND {
                            break;
                        }
                        // As requests of others would come in between.
                        tokio::task::yield_now().await;
                    }
                }
                admitted.fetch_add(mine, Relaxed);
            })
        })
        .collect();
    runtime.block_on(async {
        for requester in requesters {
            requester.await.expect("it goes through");
        }
    });
    admitted.load(Relaxed) as f64 / start.elapsed().as_secs_f64()
}
