//! Two servers, one tenant, 64 clients each; Redis and one of the servers are killed in the middle.

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Instant, SystemTime},
};

use super::{
    client::get,
    content::Dice,
    fill::fill,
    host::Host,
    redis_server::RedisServer,
    sampler::stored,
    site::{eventually, pause},
    uploader::{Expected, Tally, Uploader},
};

const LIMIT: u64 = 64 << 20;
const CHUNK: u64 = 1 << 20;
const CLIENTS: u64 = 64;

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn a_limit_holds_while_redis_and_a_server_are_killed() {
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
    let (mut highest, mut looks) = (0, 0_u64);
    let mut expected = Vec::new();
    thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let (mut highest, mut looks) = (0, 0_u64);
            while !is_over.load(Relaxed) {
                highest = stored(&hosts).max(highest);
                looks += 1;
            }
            (highest, looks)
        });
        let over = Over(&is_over);
        let clients: Vec<_> = (0..CLIENTS * 2)
            .map(|number| {
                let place = (number % 2) as usize;
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
        let all = CLIENTS * 2 * steps;
        kill_redis(&mut redis, &tally, all / 4);
        reach(&tally, all / 2);
        hosts[1].kill_and_restart();
        for (place, client) in clients {
            expected.push((place, client.join().expect("a client was content")));
        }
        expected.extend(fill(&hosts, LIMIT / 100 * 99).into_iter().enumerate());
        drop(over);
        (highest, looks) = sampling.join().expect("it looks");
    });
    let in_the_end = stored(&hosts);
    println!(
        "{looks} looks, at most {highest} bytes: {} over the limit; {:.2} % usable; {:.0} s; {tally:?}",
        highest.saturating_sub(LIMIT),
        in_the_end as f64 / LIMIT as f64 * 100.0,
        start.elapsed().as_secs_f64(),
    );
    assert!(highest <= LIMIT, "{highest} bytes of {LIMIT}");
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

/// For so long that clients notice.
fn kill_redis(redis: &mut RedisServer, tally: &Tally, after: u64) {
    reach(tally, after);
    redis.kill();
    let (unknown, steps) = (tally.unknown.load(Relaxed), tally.steps.load(Relaxed));
    while tally.unknown.load(Relaxed) < unknown + 2 * CLIENTS && tally.steps.load(Relaxed) < steps + after {
        pause();
    }
    redis.restart();
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
