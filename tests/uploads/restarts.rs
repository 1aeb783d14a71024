//! What is on record when a server comes back, and what several share.

use std::fs;

use super::{
    redis_server::RedisServer,
    server::{Server, run_to_end},
    site::{MIB, Site, content, eventually},
    tenants::{As, is_over_quota},
};

fn options(ledger: &str) -> Vec<&str> {
    vec!["--tenant-header=X-Tenant", "--tenant-limit=4MiB", "--ledger", ledger]
}

/// In memory it is counted anew; in a file it is also known what was counted before.
#[test]
fn usage_outlives_a_restart() {
    let home = tempfile::TempDir::new().expect("a directory");
    let file = format!("file:{}", home.path().join("ledger").display());
    for ledger in ["memory", &file] {
        let Some(mut site) = Site::anywhere(&options(ledger)) else {
            return;
        };
        let ann = As(&site.server, "ann");
        assert_eq!(ann.put("a", &site.file("a", 3 * MIB)).status, 201);
        assert_eq!(ann.put("b", &site.file("b", MIB / 2)).status, 201);
        site.server.terminate();
        assert!(site.server.wait().success());
        // Behind its back.
        fs::remove_file(site.dir.join("tenant-ann/b")).expect("there");
        let server = Server::start(&site.dir, &options(ledger));
        let ann = As(&server, "ann");
        assert_eq!(ann.used(), 3 * MIB as u64, "{ledger}");
        is_over_quota(&ann.put("c", &site.file("c", MIB + 1)));
        // One that is killed tells nothing more.
        assert_eq!(ann.put("d", &site.file("d", 1000)).status, 201);
        drop(server);
        let server = Server::start(&site.dir, &options(ledger));
        let ann = As(&server, "ann");
        assert_eq!(ann.used(), 3 * MIB as u64 + 1000, "{ledger}");
        assert_eq!(
            ann.put("e", &site.file("e", MIB - 1000)).status,
            201,
            "all of it can be used"
        );
    }
}

#[test]
fn a_ledger_file_that_cannot_be_used_is_an_error() {
    let home = tempfile::TempDir::new().expect("a directory");
    let path = home.path().join("ledger");
    let ledger = format!("file:{}", path.display());
    let dir = home.path().join("first");
    let first = Server::start(&dir, &options(&ledger));
    let run = |ledger: &str| {
        let dir = home.path().join("second").display().to_string();
        let mut all = options(ledger);
        all.extend(["--listen=127.0.0.1:0", "--dir", &dir]);
        let (status, _, stderr) = run_to_end(&all);
        assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains("--ledger:") && stderr.contains(ledger), "{stderr}");
        stderr
    };
    let told = run(&ledger);
    assert!(
        told.contains("is in use") && told.contains("stop the other one"),
        "{told}"
    );
    drop(first);
    let whole = fs::read(&path).expect("a file");
    fs::write(&path, &whole[..100_000]).expect("written");
    let told = run(&ledger);
    assert!(told.contains("is damaged") && told.contains("move it away"), "{told}");
    content(home.path(), "ledger", 100_000);
    let told = run(&ledger);
    assert!(told.contains("is no ledger"), "{told}");
    let told = run("file:/no/such/place/ledger");
    assert!(told.contains("in a directory that exists"), "{told}");
}

fn two_servers(redis: &RedisServer) -> Option<(Site, Site)> {
    let url = redis.url();
    let options = options(&url);
    Some((Site::anywhere(&options)?, Site::anywhere(&options)?))
}

#[test]
fn two_servers_share_a_limit_by_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let Some((one, two)) = two_servers(&redis) else { return };
    let (here, there) = (As(&one.server, "ann"), As(&two.server, "ann"));
    let file = one.file("file", 3 * MIB);
    assert_eq!(here.put("a", &file).status, 201);
    is_over_quota(&there.put("a", &file));
    eventually("the other has heard of it", || there.used() == 3 * MIB as u64);
    assert_eq!(As(&two.server, "bob").put("a", &file).status, 201);
    assert_eq!(here.delete("a").status, 204);
    // What was leased idle comes back with a heartbeat.
    eventually("there is room again", || there.put("a", &file).status == 201);
    is_over_quota(&here.put("b", &file));
}

/// Each server's files are its own: what one counts when it starts takes nothing from the other.
#[test]
fn a_restart_of_one_server_leaves_the_others_figures_alone() {
    let Some(redis) = RedisServer::start() else { return };
    let Some((one, two)) = two_servers(&redis) else { return };
    let file = one.file("file", MIB);
    assert_eq!(As(&one.server, "ann").put("a", &file).status, 201);
    assert_eq!(As(&two.server, "ann").put("a", &file).status, 201);
    eventually("one has heard of the other", || {
        As(&one.server, "ann").used() == 2 * MIB as u64
    });
    let Site { server, dir, .. } = one;
    drop(server);
    let server = Server::start(&dir, &options(&redis.url()));
    for server in [&server, &two.server] {
        eventually("both know of both", || As(server, "ann").used() == 2 * MIB as u64);
    }
}

#[test]
fn a_server_that_ends_leaves_what_it_had_leased_to_others() {
    let Some(redis) = RedisServer::start() else { return };
    let url = redis.url();
    let Some(one) = Site::anywhere(&options(&url)) else {
        return;
    };
    assert_eq!(As(&one.server, "ann").put("a", &one.file("a", 1000)).status, 201);
    let Site { mut server, desk, .. } = one;
    server.terminate();
    assert!(server.wait().success());
    let Some(two) = Site::anywhere(&options(&url)) else {
        return;
    };
    let rest = content(desk.path(), "rest", 4 * MIB - 1000);
    assert_eq!(As(&two.server, "ann").put("b", &rest).status, 201);
}

#[test]
fn a_killed_server_comes_back_under_its_name() {
    let Some(redis) = RedisServer::start() else { return };
    let url = redis.url();
    let Some(site) = Site::anywhere(&options(&url)) else {
        return;
    };
    assert_eq!(As(&site.server, "ann").put("a", &site.file("a", MIB)).status, 201);
    let Site { server, dir, desk, .. } = site;
    drop(server);
    fs::remove_file(dir.join("tenant-ann/a")).expect("there");
    let server = Server::start(&dir, &options(&url));
    let ann = As(&server, "ann");
    assert_eq!(ann.used(), 0);
    assert_eq!(
        ann.put("b", &content(desk.path(), "b", 4 * MIB)).status,
        201,
        "nothing is lost"
    );
}

#[test]
fn without_redis_it_starts_and_refuses_until_redis_comes() {
    let Some(mut redis) = RedisServer::start() else { return };
    let url = redis.url();
    let Some(site) = Site::anywhere(&options(&url)) else {
        return;
    };
    let file = site.file("a", 3 * MIB);
    assert_eq!(As(&site.server, "ann").put("a", &file).status, 201);
    let Site {
        mut server, dir, desk, ..
    } = site;
    server.terminate();
    assert!(server.wait().success());
    redis.kill();

    let server = Server::start(&dir, &options(&url));
    let ann = As(&server, "ann");
    let small = content(desk.path(), "small", 1000);
    assert_eq!(ann.put("b", &small).status, 503);
    assert_eq!(ann.curl("/quota").send().status, 503);
    assert_eq!(ann.curl("/files/a").send().status, 200, "reading works");
    assert!(server.log().contains("cannot be reached"), "{}", server.log());
    // This one has lost everything.
    redis.restart();
    eventually("Redis is found", || ann.put("b", &small).status == 201);
    eventually("what is stored has been counted", || {
        server.log().contains("has been counted")
    });
    assert_eq!(ann.used(), 3 * MIB as u64 + 1000);
    is_over_quota(&ann.put("c", &file));
}

#[test]
fn a_redis_that_evicts_is_told_of_loudly() {
    let Some(redis) = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let Some(site) = Site::anywhere(&options(&redis.url())) else {
        return;
    };
    let log = site.server.log();
    assert!(log.contains("ERROR") && log.contains("noeviction"), "{log}");
    assert_eq!(As(&site.server, "ann").put("a", &site.file("a", 1000)).status, 503);
}
