//! Settings from a file, read again while uploads are under way.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
};

use tempfile::TempDir;

use super::{
    server::run_to_end,
    site::{MIB, Site, eventually},
    tenants::As,
};

fn settings(dir: &Path, text: &str) -> (PathBuf, String) {
    let path = dir.join("guard.toml");
    fs::write(&path, text).expect("written");
    let name = path.display().to_string();
    (path, name)
}

fn capacity(site: &Site) -> serde_json::Value {
    serde_json::from_slice(&site.get("/capacity").body).expect("JSON")
}

#[test]
fn a_new_file_counts_at_once_and_a_bad_one_not_at_all() {
    let dir = TempDir::new().expect("a directory");
    let (path, name) = settings(dir.path(), "[resources.disk]\nfloor = \"5MiB\"");
    let Some(site) = Site::anywhere(&["--min-free", "1MiB", "--max-upload", "2MiB", "--config", &name]) else {
        return;
    };
    assert_eq!(
        capacity(&site)["resources"][0]["floor"],
        5 * MIB,
        "the file counts before the options"
    );
    let file = site.file("a", 3 * MIB);
    assert_eq!(site.put("/files/a", &file).status, 413);

    fs::write(&path, "max_body = \"4MiB\"\nreport_only = true").expect("written");
    site.server.reload();
    eventually("the new settings count", || {
        capacity(&site)["layers"][0]["mode"] == "report_only"
    });
    assert_eq!(site.put("/files/a", &file).status, 201);
    assert_eq!(
        capacity(&site)["resources"][0]["floor"],
        MIB,
        "a line that was taken out counts no longer"
    );

    for (text, told) in [
        (
            "max_body = \"4MiB\"\nreport_ony = true",
            "guard.toml:2:1: unknown field `report_ony`",
        ),
        ("max_body = 1\nminimum_charge = 2", "minimum_charge = 2"),
        (
            "[resources.dsk]\nfloor = 1",
            "resources.dsk: there is no such resource; name one of: disk",
        ),
        ("[resources.disk]\ninterval = \"10s\"", "max_age = 10s"),
    ] {
        fs::write(&path, text).expect("written");
        site.server.reload();
        eventually(told, || {
            let log = site.server.log();
            log.contains("the settings stay as they were") && log.contains(told)
        });
        let now = capacity(&site);
        assert_eq!(now["layers"][0]["mode"], "report_only", "{text}");
        assert_eq!(now["resources"][0]["floor"], MIB, "{text}");
    }
}

#[test]
fn a_bad_file_at_the_start_is_an_error_in_one_line() {
    let dir = TempDir::new().expect("a directory");
    for (text, parts) in [
        (
            "max_bdy = 1",
            &["guard.toml:1:1:", "unknown field `max_bdy`", "max_body"][..],
        ),
        ("a = ", &["guard.toml:1:5:"]),
        (
            "[resources.disk]\nfloor = \"5 apples\"",
            &["guard.toml:2:9:", "`5 apples` is not a size"],
        ),
        ("[resources.ram]", &["resources.ram", "name one of: disk"]),
        ("minimum_charge = 9\nmax_body = 8", &["minimum_charge = 9", "max_body"]),
        (
            "max_body = 8\ntenant_limit = 9",
            &["guard.toml:2:1: tenant_limit:", "add --tenant-header"],
        ),
    ] {
        let (_, name) = settings(dir.path(), text);
        let uploads = dir.path().join("uploads").display().to_string();
        let (status, _, stderr) = run_to_end(&["--listen=127.0.0.1:0", "--dir", &uploads, "--config", &name]);
        assert_eq!(status.code(), Some(2), "{text}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for part in parts.iter().chain(&["--config:", "guard.toml"]) {
            assert!(stderr.contains(part), "`{part}`: {stderr}");
        }
    }
    let (status, _, stderr) = run_to_end(&["--listen=127.0.0.1:0", "--config", "/no/such/guard.toml"]);
    assert_eq!(status.code(), Some(2));
    assert!(
        stderr.contains("--config:") && stderr.contains("/no/such/guard.toml"),
        "{stderr}"
    );
}

#[test]
fn the_limit_of_tenants_changes_as_all_settings_do() {
    let dir = TempDir::new().expect("a directory");
    let (path, name) = settings(dir.path(), "tenant_limit = \"2MiB\" # each\nreport_only = false");
    let options = ["--tenant-header=X-Tenant", "--tenant-limit=1MiB", "--config", &name];
    let Some(site) = Site::anywhere(&options) else { return };
    let ann = As(&site.server, "ann");
    assert_eq!(ann.quota()["limit"], 2 * MIB);
    for (text, limit) in [("tenant_limit = 4000", 4000), ("", MIB)] {
        fs::write(&path, text).expect("written");
        site.server.reload();
        eventually("the new limit counts", || ann.quota()["limit"] == limit);
    }
    for (text, told) in [
        (
            "max_body = 9\ntenant_limit = \"2 apples\"",
            "guard.toml:2:16: tenant_limit: `2 apples`",
        ),
        ("tenant_limit = true", "guard.toml:1:16: tenant_limit: is not a size"),
        ("tenant_limit = 9 \nbody = 9", "guard.toml:2:1: unknown field `body`"),
    ] {
        fs::write(&path, text).expect("written");
        site.server.reload();
        eventually(told, || site.server.log().contains(told));
        assert_eq!(ann.quota()["limit"], MIB, "{text}");
    }
}

/// Uploads go on without a break while the file changes. Each has an answer, what was accepted is stored whole, and in
/// the end nothing is held.
#[test]
fn a_reload_under_load_loses_no_request_and_no_hold() {
    const UPLOADS: usize = 12;
    let dir = TempDir::new().expect("a directory");
    let (path, name) = settings(dir.path(), "");
    let Some(site) = Site::anywhere(&["--min-free", "0", "--config", &name]) else {
        return;
    };
    let file = site.file("content", MIB);
    let content = fs::read(&file).expect("there");
    let (done, accepted, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let uploads: Vec<_> = (0..3)
            .map(|sender| {
                let (site, file, content) = (&site, &file, &content);
                let (accepted, refused) = (&accepted, &refused);
                scope.spawn(move || {
                    for n in 0..UPLOADS {
                        let target = format!("/files/{sender}-{n}");
                        let upload = site.curl(&target);
                        // Slow enough that a reload falls into it.
                        let upload = upload.args(&["--limit-rate", "10M"]);
                        let upload = if n % 2 == 0 {
                            upload.file(file)
                        } else {
                            upload.chunked(file)
                        };
                        match upload.send().status {
                            201 => {
                                assert_eq!(site.get(&target).body, *content, "stored whole");
                                accepted.fetch_add(1, Relaxed);
                            }
                            413 => {
                                assert_eq!(site.get(&target).status, 404, "nothing is left");
                                refused.fetch_add(1, Relaxed);
                            }
                            other => panic!("{target}: {other}"),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for n in 0_u64.. {
                if done.load(Relaxed) {
                    return;
                }
                let largest = if n % 4 == 3 { "64KiB" } else { "2MiB" };
                let floor = n % 3;
                let text = format!("max_body = \"{largest}\"\n[resources.disk]\nfloor = \"{floor}MiB\"");
                fs::write(&path, text).expect("written");
                site.server.reload();
                // One at a time: signals that come together are one.
                let expected = floor * MIB as u64;
                eventually("the new settings count", || {
                    capacity(&site)["resources"][0]["floor"] == expected
                });
            }
        });
        let failed: Vec<_> = uploads.into_iter().filter_map(|upload| upload.join().err()).collect();
        done.store(true, Relaxed);
        assert!(failed.is_empty());
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert_eq!(accepted + refused, 3 * UPLOADS as u64);
    assert!(accepted > 0, "none was accepted: this test has gone blind");
    eventually("nothing is held", || {
        let disk = &capacity(&site)["resources"][0];
        disk["held"] == 0 && disk["unseen"] == 0
    });
    let reloads = site.server.log().matches("the settings were read again").count();
    assert!(reloads >= 3, "{reloads} reloads: this test has gone blind");
}
