//! Several threads behind one guard, each with work of its own between requests.

use std::{sync::Barrier, thread, time::Instant};

use tower_storage_guard::StorageGuardBuilder;

use crate::{
    report::{Figures, quartiles},
    subjects::{BARE, GUARD, Reply, guard, on_disk, shed},
    work::{Reader, exchange, post},
};

pub const THREADS: &str = "threads";
/// So many that the threads run beside each other nearly all of the time.
const REQUESTS: usize = 20_000;
const ROUNDS: usize = 40;

/// Nanoseconds a request takes each of one and of two threads, in turns.
pub fn measure(figures: &mut Figures) {
    let layer = builder_of(on_disk());
    let shedding = shed(1 << 16, Reader::<Reply>::default());
    for (subject, run) in [
        (
            BARE,
            &(|threads| spent(threads, Reader::<Reply>::default)) as &dyn Fn(usize) -> f64,
        ),
        (GUARD, &|threads| spent(threads, || layer.clone())),
        (crate::subjects::SHED, &|threads| spent(threads, || shedding.clone())),
    ] {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (threads, taken) in [1, 2].into_iter().zip(&mut taken) {
                taken.push(run(threads));
            }
        }
        let [one, two] = taken.map(|mut taken| quartiles(&mut taken));
        println!("{:>8.1} {:>8.1} ns, one and two threads: {subject}", one[1], two[1]);
        // On a machine that is shared the lower quartile is nearer to what the two threads do to each other.
        figures.put(THREADS, subject, "one", one[1]);
        figures.put(THREADS, subject, "two", two[1]);
        figures.put(THREADS, subject, "ratio", two[0] / one[0]);
    }
}

fn builder_of(builder: StorageGuardBuilder) -> tower_storage_guard::StorageGuard<Reader<Reply>> {
    guard(builder, Reader::default())
}

fn spent<S, R>(threads: usize, service: impl Fn() -> S + Sync) -> f64
where
    S: tower::Service<http::Request<http_body_util::Full<bytes::Bytes>>, Response = http::Response<R>>,
    R: http_body::Body,
{
    let barrier = Barrier::new(threads);
    let times: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut service = service();
                    barrier.wait();
                    let start = Instant::now();
                    for _ in 0..REQUESTS {
                        // To make the request is the work that nobody shares.
                        exchange(&mut service, post());
                    }
                    start.elapsed().as_nanos() as f64 / REQUESTS as f64
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("ran")).collect()
    });
    times.iter().sum::<f64>() / times.len() as f64
}
