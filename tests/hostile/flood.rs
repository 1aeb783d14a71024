//! Thousands that are refused and send their bodies all the same. tests/clients/crowd.rs has those who never read.

use std::{
    fs,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

use tower_storage_guard::{Linger, TracingObserver};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    case::{assert_at_rest, assert_is_served},
    chunks::chunked,
    raw::Client,
    server::{Ending, FREE, LARGE, Seen, Server},
    table::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![Row::new(
        "flood::leaves_the_server_as_it_was",
        "4,000 uploads that do not fit, with their bodies; of known length, in chunks, small ones",
        "507 or a closed connection; others are served, five lines of log in ten seconds",
        "nothing, or what fits and then an error",
    )]
}

const THREADS: usize = 4;
const REQUESTS: usize = 1000;
/// None of them fits.
const ROOM: u64 = 2000;
const PLACES: usize = 128;
const MEGABYTE: u64 = 1_000_000;

#[test]
fn leaves_the_server_as_it_was() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only one of this process");
    let linger = Linger::default()
        .hold_for(Duration::from_millis(200))
        .connections(PLACES);
    let server = Server::with(|guard| guard.linger(linger).observer(TracingObserver::new()));
    flood(&server, 100);
    assert_at_rest(&server);

    let (before, start) = (memory(), Instant::now());
    let (answered, most_kept) = flood(&server, REQUESTS);
    let grown = memory().zip(before).map(|(now, before)| now.saturating_sub(before));
    assert_at_rest(&server);

    let tenths = start.elapsed().as_secs() as usize / 10;
    let lines = lines.written.load(Relaxed);
    println!("{answered} answers, {most_kept} kept at most, {grown:?} bytes more, {lines} lines of log");
    assert_eq!(server.refusals(), THREADS * (REQUESTS + 100));
    assert!(answered > THREADS * REQUESTS * 9 / 10, "{answered} answers");
    assert!(most_kept <= PLACES, "{most_kept} kept");
    // Those of the rehearsal, five in each ten seconds, and one that tells how many there were.
    assert!(lines > 0 && lines <= 6 * (tenths + 3), "{lines} lines");
    if let Some(grown) = grown {
        assert!(grown < 64 * MEGABYTE, "{grown} bytes more");
    }
    let is_right = |seen: &Seen| seen.bytes <= ROOM && (seen.ending != Ending::Whole || seen.bytes == 10);
    assert!(server.seen().iter().all(is_right));
}

/// Tells how many were answered, and how many connections were kept at once.
fn flood(server: &Server, requests: usize) -> (usize, usize) {
    server.disk.probe().set_available(ROOM);
    server.disk.sample();
    let (answered, most_kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..requests {
                        let mut client = Client::connect(server.address);
                        // Whoever is turned away meanwhile may have its answer all the same.
                        let _ = send(&mut client, number);
                        let mut start = [0; 12];
                        let is_read = client.into_stream().read_exact(&mut start).is_ok();
                        assert!(!is_read || &start == b"HTTP/1.1 507", "{}", start.escape_ascii());
                        answered.fetch_add(usize::from(is_read), Relaxed);
                        most_kept.fetch_max(server.layer.report().lingering, Relaxed);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                server.disk.sample();
                assert_is_served(&mut Client::connect(server.address), 10);
            }
        });
        let outcomes: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
        is_over.store(true, SeqCst);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    server.disk.probe().set_available(FREE);
    (answered.into_inner(), most_kept.into_inner())
}

/// One that does not fit, with its body.
fn send(client: &mut Client, number: usize) -> io::Result<()> {
    match number % 3 {
        0 => {
            client.put(&[&format!("content-length: {LARGE}")]);
            client.send_zeros(200_000)
        }
        1 => {
            client.put(&["transfer-encoding: chunked"]);
            client.send(&chunked(&[10_000; 20]))
        }
        _ => {
            client.put(&["content-length: 10000"]);
            client.send_zeros(10_000)
        }
    }
}

/// What this process has in memory, where the system tells.
fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Counts the lines of a log.
#[derive(Clone, Default)]
struct Lines {
    written: Arc<AtomicUsize>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text
            .lines()
            .filter(|line| line.contains(" tower_storage_guard: "))
            .count();
        self.written.fetch_add(lines, Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
