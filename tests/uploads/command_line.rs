//! How it starts, or tells why not.

use std::net::TcpListener;

use tempfile::TempDir;

use super::{
    server::{Server, run_to_end},
    site::{content, small_disk},
};

#[test]
fn announces_itself() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path(), &["--min-free", "5MiB"]);
    let told = &server.announcement;
    for part in [
        "size of the disk",
        "free",
        "must stay free          5.0 MiB",
        "may be uploaded now",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let commands: Vec<_> = told.lines().filter(|line| line.trim().starts_with("curl ")).collect();
    assert_eq!(commands.len(), 3, "{told}");
    assert!(
        commands
            .iter()
            .all(|line| line.contains(&format!("http://{}/files", server.address))),
        "{told}"
    );
}

#[test]
fn bad_options_are_named_with_a_remedy() {
    let dir = TempDir::new().expect("a directory");
    let a_file = content(dir.path(), "file", 1).display().to_string();
    let uploads = dir.path().join("uploads").display().to_string();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("known").to_string();
    for (options, parts) in [
        (&["--no-such"][..], &["`--no-such`", "--help"][..]),
        (&["--dirr=x"], &["`--dirr=x`", "--help"]),
        (&["uploads"], &["`uploads`", "--help"]),
        (&["--min-free"], &["--min-free needs a value", "64MiB"]),
        (&["--min-free", "--report-only"], &["--min-free needs a value"]),
        (&["--dir="], &["--dir needs a value", "./uploads"]),
        (&["--min-free", "much"], &["--min-free:", "`much`", "64MiB"]),
        (&["--max-upload=-1"], &["--max-upload:", "`-1`", "1.5GB"]),
        (&["--max-upload=99EiB"], &["--max-upload:", "`99EiB`"]),
        (
            &["--min-free-percent", "101"],
            &["--min-free-percent:", "`101`", "0 to 100"],
        ),
        (
            &["--min-free-percent=NaN"],
            &["--min-free-percent:", "`NaN`", "0 to 100"],
        ),
        (
            &["--min-free-percent=five"],
            &["--min-free-percent:", "`five`", "0 to 100"],
        ),
        (&["--report-only=yes"], &["--report-only:", "`yes`", "leave it out"]),
        (
            &["--listen", "nonsense"],
            &["--listen:", "`nonsense`", "127.0.0.1:3000"],
        ),
        (&["--listen", &taken], &["--listen:", &taken, "free port"]),
        (
            &["--tenant-header", "X Tenant"],
            &["--tenant-header:", "`X Tenant`", "such as X-Tenant"],
        ),
        (
            &["--tenant-header=X-T", "--tenant-limit=lots"],
            &["--tenant-limit:", "`lots`", "64MiB"],
        ),
        (
            &["--tenant-limit=1GiB"],
            &["--tenant-limit=1GiB", "without tenants", "add --tenant-header X-Tenant"],
        ),
        (&["--ledger", "memory"], &["--ledger", "add --tenant-header"]),
        (&["--show-tenants"], &["--show-tenants", "add --tenant-header"]),
        (
            &["--tenant-header=X-T", "--lease-chunk=1MiB"],
            &["--lease-chunk=1MiB", "without Redis", "add --ledger redis://"],
        ),
        (
            &["--tenant-header=X-T", "--ledger", "mysql://host"],
            &["--ledger:", "`mysql://host`", "file:PATH or redis://HOST:PORT/"],
        ),
        (&["--tenant-header=X-T", "--ledger=file:"], &["--ledger:", "`file:`"]),
        (
            &[
                "--listen=127.0.0.1:0",
                "--dir",
                &uploads,
                "--tenant-header=X-T",
                "--ledger=redis://me:secret@host:port/",
            ],
            &["--ledger:", "`redis://…@host:port/`", "redis://127.0.0.1:6379/"],
        ),
        (
            &[
                "--listen=127.0.0.1:0",
                "--dir",
                &uploads,
                "--tenant-header=X-T",
                "--tenant-limits=/no/such/limits.toml",
            ],
            &["--tenant-limits:", "/no/such/limits.toml"],
        ),
        (
            &["--listen=127.0.0.1:0", "--dir", &a_file],
            &["--dir:", &a_file, "give a directory"],
        ),
        (
            &["--listen=127.0.0.1:0", "--dir=/proc/no/such"],
            &["--dir:", "`/proc/no/such`", "give a directory"],
        ),
    ] {
        let (status, stdout, stderr) = run_to_end(options);
        assert_eq!(status.code(), Some(2), "{options:?}: {stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{options:?}: {stderr}");
        }
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(stdout, "", "{options:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_an_error() {
    let Some(disk) = small_disk() else { return };
    disk.remount_read_only();
    let dir = disk.path().display().to_string();
    let (status, _, stderr) = run_to_end(&["--listen=127.0.0.1:0", "--dir", &dir]);
    assert_eq!(status.code(), Some(2));
    assert!(
        stderr.contains("--dir:") && stderr.contains(&dir) && stderr.contains("may write to"),
        "{stderr}"
    );
}

#[test]
fn a_missing_directory_is_made() {
    let parent = TempDir::new().expect("a directory");
    let dir = parent.path().join("not/yet");
    let _server = Server::start(&dir, &[""; 0]);
    assert!(dir.is_dir());
}

#[test]
fn help_names_every_option() {
    let (status, stdout, stderr) = run_to_end(&["--help"]);
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    for option in [
        "--dir",
        "--listen",
        "--min-free",
        "--min-free-percent",
        "--max-upload",
        "--config",
        "--report-only",
        "--tenant-header",
        "--tenant-limit ",
        "--tenant-limits",
        "--ledger",
        "--node",
        "--lease-chunk",
        "--show-tenants",
        "--help",
    ] {
        assert!(stdout.contains(option), "{option}: {stdout}");
    }
}
