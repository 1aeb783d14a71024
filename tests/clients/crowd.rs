//! A thousand clients that do not take no for an answer.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use tower_storage_guard::Linger;

use crate::{
    raw::{Client, PATIENCE},
    server::{LARGE, Server, eventually},
};

const CLIENTS: usize = 1000;

/// As by default.
const PLACES: usize = 128;

/// Longer than it takes until all are there.
const HOLD: Duration = Duration::from_secs(5);

/// Both ends of each connection are in this process.
const FILES: usize = 2 * CLIENTS + 200;

const MEGABYTE: u64 = 1_000_000;

#[test]
fn leaves_the_server_as_it_was() {
    if !cfg!(target_os = "linux") {
        println!("skipped: memory and open files are told by Linux");
        return;
    }
    if !may_open_files() {
        println!("skipped: fewer than {FILES} files may be open at once");
        return;
    }
    let server = Server::start(Linger::default().connections(PLACES).hold_for(HOLD));
    assert!(admitted(&server) < PATIENCE);
    eventually("nothing is left of it", || server.tasks() == 0);
    let before = memory();

    // None of them ever reads. Half of them send for ever, the others nothing at all.
    let mut crowd = Vec::new();
    let piece = vec![0; 1 << 16];
    let (mut most_memory, mut most_tasks, mut slowest) = (0, 0, Duration::ZERO);
    eventually("the last of them is let go", || {
        let more = 20.min(CLIENTS - crowd.len());
        crowd.extend((0..more).map(|_| refused(&server)));
        for client in crowd.iter_mut().step_by(2) {
            while client.write(&piece).is_ok() {}
        }
        slowest = slowest.max(admitted(&server));
        most_memory = most_memory.max(memory().saturating_sub(before));
        most_tasks = most_tasks.max(server.tasks());
        server.refusals() == CLIENTS && server.tasks() == 0
    });

    println!(
        "{} MB, {most_tasks} tasks, an upload took {slowest:?}",
        most_memory / MEGABYTE
    );
    assert!(most_memory < 200 * MEGABYTE, "{} MB", most_memory / MEGABYTE);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    // One for each connection, one for each place, and those that were about to go.
    assert!(most_tasks > PLACES, "{most_tasks} tasks: not enough of a crowd");
    assert!(most_tasks < 2 * PLACES + 100, "{most_tasks} tasks");
}

fn refused(server: &Server) -> TcpStream {
    let mut client = Client::connect(server.address);
    client.put(&[&format!("content-length: {LARGE}")]);
    let stream = client.into_stream();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// How long an upload takes that fits.
fn admitted(server: &Server) -> Duration {
    let start = Instant::now();
    let mut client = Client::connect(server.address);
    client.put(&["content-length: 10", "connection: close"]);
    client.send_zeros(10).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.body), (200, "10"));
    server.disk.sample();
    start.elapsed()
}

fn may_open_files() -> bool {
    let allowed = || {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next().map(str::to_owned));
        soft.is_some_and(|soft| soft.parse().map_or(soft == "unlimited", |files: usize| files >= FILES))
    };
    if !allowed() {
        let raise = format!("--nofile={FILES}:");
        let _ = Command::new("prlimit")
            .args(["--pid", &std::process::id().to_string(), &raise])
            .status();
    }
    allowed()
}

/// What this process has in memory.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes.expect("told").parse::<u64>().unwrap() * 1024
}
