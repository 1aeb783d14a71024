//! Two servers, one tenant, 64 clients each; Redis and one of the servers are killed in the middle.
//!
//! What `Leasing` promises: what is stored stays within the limit. An engine that lost its latest writes may cost as much
//! as the chunks of all nodes and the requests under way. With `appendfsync everysec` Redis hands to the system at once
//! what it writes, unless it waits for the disk; so when it is killed it loses little or nothing, and when the machine
//! stops, a second or two.

use std::{
    env, fs, io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Instant, SystemTime},
};

use super::{
    client::get,
    content::Dice,
    fill::fill,
    host::Host,
    redis_server::RedisServer,
    sampler::{Look, stored},
    site::{eventually, pause},
    uploader::{Expected, Tally, Uploader},
};

const LIMIT: u64 = 64 << 20;
const CHUNK: u64 = 1 << 20;
const CLIENTS: u64 = 64;
const NODES: u64 = 2;

/// What Redis still knows when it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    All,
    /// Not the last moments.
    Older,
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn a_limit_holds_while_redis_and_a_server_are_killed() {
    run(Memory::All);
}

#[test]
fn a_redis_that_lost_its_last_moments_costs_no_more_than_is_promised() {
    run(Memory::Older);
}

fn run(memory: Memory) {
    let Some(mut redis) = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else {
        return;
    };
    let start = Instant::now();
    let seed = setting("FLEET_SEED").unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        u64::from(now.subsec_nanos())
    });
    let steps = setting("FLEET_STEPS").unwrap_or(12);
    println!("FLEET_SEED={seed} FLEET_STEPS={steps}");
    let options = [
        "--min-free=0".to_owned(),
        "--tenant-header=X-Tenant".to_owned(),
        format!("--tenant-limit={LIMIT}"),
        format!("--lease-chunk={CHUNK}"),
        format!("--ledger={}", redis.url()),
    ];
    let hosts = [Host::start(&options), Host::start(&options)];
    let tally = Tally::default();
    let is_over = AtomicBool::new(false);
    let blurred = AtomicU64::new(0);
    // Before and after Redis may have lost something.
    let has_lost = AtomicBool::new(false);
    let (mut highest, mut looks) = ([0; 2], 0_u64);
    let mut expected = Vec::new();
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let (mut highest, mut looks) = ([0; 2], 0_u64);
            let mut before = Look::at(&hosts);
            while !is_over.load(Relaxed) {
                let now = Look::at(&hosts);
                let place = usize::from(has_lost.load(Relaxed));
                highest[place] = now.since(&before).max(highest[place]);
                blurred.fetch_max(now.bytes(), Relaxed);
                before = now;
                looks += 1;
            }
            (highest, looks)
        });
        let over = Over(&is_over);
        let clients: Vec<_> = (0..CLIENTS * NODES)
            .map(|number| {
                let place = (number % NODES) as usize;
                let uploader = Uploader {
                    host: &hosts[place],
                    tally: &tally,
                    dice: Dice::new(seed.wrapping_add(number)),
                    name: format!("client-{number}"),
                    expected: Expected::new(),
                };
                (place, scope.spawn(move || uploader.run(steps)))
            })
            .collect();
        let all = CLIENTS * NODES * steps;
        kill_redis(&mut redis, &tally, all, memory, &has_lost);
        reach(&tally, all * 3 / 4);
        hosts[1].kill_and_restart();
        for (place, client) in clients {
            expected.push((place, client.join().expect("a client was content")));
        }
        expected.extend(fill(&hosts, LIMIT / 100 * 99).into_iter().enumerate());
        drop(over);
        (highest, looks) = sampling.join().expect("it looks");
    });
    let in_the_end = stored(&hosts);
    let bound = NODES * CHUNK + tally.most_under_way.load(Relaxed);
    println!(
        "{looks} looks, at most {} bytes before and {} after Redis was killed: {} over the limit, where {bound} may be; \
         single looks {} over; \
         {:.2} % usable; {:.0} s; {tally:?}",
        highest[0],
        highest[1],
        highest[0].max(highest[1]).saturating_sub(LIMIT),
        blurred.load(Relaxed).saturating_sub(LIMIT),
        in_the_end as f64 / LIMIT as f64 * 100.0,
        start.elapsed().as_secs_f64(),
    );
    assert!(highest[0] <= LIMIT, "{highest:?} bytes of {LIMIT}");
    assert!(highest[1] <= LIMIT + bound, "{highest:?} bytes of {LIMIT} and {bound}");
    for (place, files) in &expected {
        check(&hosts[*place], files);
    }
    for host in &hosts {
        eventually("the servers know what is stored", || used(host) == in_the_end);
        assert!(!host.log().contains("panicked"), "{}", host.log());
    }
}

/// The sampler ends also when a client was not content.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn reach(tally: &Tally, steps: u64) {
    eventually("the clients get on", || tally.steps.load(Relaxed) >= steps);
}

/// When the limit is used up, and for so long that clients notice.
fn kill_redis(redis: &mut RedisServer, tally: &Tally, all: u64, memory: Memory, has_lost: &AtomicBool) {
    reach(tally, all / 2);
    let older = tempfile::TempDir::new().expect("a directory");
    if memory == Memory::Older {
        copy(redis.path(), older.path()).expect("copied");
        reach(tally, all / 2 + CLIENTS);
    }
    has_lost.store(true, Relaxed);
    redis.kill();
    if memory == Memory::Older {
        let (then, now) = (size(older.path()), size(redis.path()));
        assert!(then < now, "something is lost: {then} of {now} bytes");
        copy(older.path(), redis.path()).expect("copied back");
    }
    let unknown = tally.unknown.load(Relaxed);
    while tally.unknown.load(Relaxed) < unknown + NODES * CLIENTS && tally.steps.load(Relaxed) < all * 2 / 3 {
        pause();
    }
    redis.restart();
}

/// What Redis has written.
fn size(dir: &Path) -> u64 {
    let files = fs::read_dir(dir.join("appendonlydir")).expect("it keeps a file");
    files
        .map(|file| file.and_then(|file| file.metadata()).expect("a file").len())
        .sum()
}

/// The files in a directory and below, but no socket.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn used(host: &Host) -> u64 {
    let answer = get(host.address().expect("it runs"), "/quota").expect("an answer");
    let quota: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    quota["used"].as_u64().expect("a number")
}

/// What was accepted is there, byte by byte, and nothing else.
fn check(host: &Host, files: &Expected) {
    for (name, versions) in files {
        let address = host.address().expect("it runs");
        let answer = get(address, &format!("/files/{name}")).expect("an answer");
        let is_one_of_them = versions.iter().any(|version| match version {
            None => answer.status == 404,
            Some(content) => answer.status == 200 && answer.body == content.bytes(),
        });
        assert!(
            is_one_of_them,
            "{name}: status {} and {} bytes, not {versions:?}",
            answer.status,
            answer.body.len()
        );
    }
}
