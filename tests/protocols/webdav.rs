//! The example `webdav` on a small disk: what clients of WebDAV are told, and what is left behind.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    MIB,
    curl::{self, Answer, curl, put, put_chunked},
    example::{Example, rejects, run_to_end},
    small_disk,
    volume::Volume,
};

/// Fields drop in this order: the server must be gone before its disk.
pub(super) struct Site {
    server: Example,
    pub(super) dir: PathBuf,
    /// For the files to upload; on another disk.
    desk: TempDir,
    pub(super) disk: Volume,
}

impl Site {
    /// On 16 MiB, of which 12 may be filled.
    pub(super) fn new(options: &[&str]) -> Option<Self> {
        if !curl::is_installed() {
            return None;
        }
        let disk = small_disk()?;
        let dir = disk.path().join("files");
        let options = [&["--min-free", "4MiB", "--dir", dir.to_str().expect("UTF-8")], options].concat();
        Some(Self {
            server: Example::serve("webdav", &options),
            dir,
            desk: TempDir::new().expect("a directory"),
            disk,
        })
    }

    pub(super) fn file(&self, mebibytes: u64) -> PathBuf {
        let path = self.desk.path().join(format!("{mebibytes}.bin"));
        fs::write(&path, vec![mebibytes as u8; (mebibytes * MIB) as usize]).expect("written");
        path
    }

    pub(super) fn put(&self, name: &str, mebibytes: u64) -> Answer {
        put(&self.server.url(name), &self.file(mebibytes))
    }

    pub(super) fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut options = vec!["-X", method];
        options.extend(headers.iter().flat_map(|header| ["-H", header]));
        curl(&self.server.url(path), &options)
    }

    fn copy(&self, from: &str, to: &str) -> Answer {
        let destination = format!("Destination: {}", self.server.url(to));
        self.request("COPY", from, &[&destination])
    }

    /// `quota-used-bytes` and `quota-available-bytes`.
    pub(super) fn quota(&self) -> (u64, u64) {
        let asked = r#"<propfind xmlns="DAV:"><prop><quota-used-bytes/><quota-available-bytes/></prop></propfind>"#;
        let answer = curl(
            &self.server.url("/"),
            &["-X", "PROPFIND", "-H", "Depth: 0", "--data", asked],
        );
        assert_eq!(answer.status, 207, "{answer:?}");
        let figure = |name: &str| {
            let (_, rest) = answer.body.split_once(&format!("<D:{name}>")).expect("told");
            rest.split_once('<').expect("closed").0.parse().expect("a number")
        };
        (figure("quota-used-bytes"), figure("quota-available-bytes"))
    }

    /// Waits for the readings to say so.
    pub(super) fn soon(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "not soon: {what}; {:?}", self.quota());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).expect("a directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

pub(super) fn is_refused(answer: &Answer, status: u16, condition: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/xml; charset=utf-8"));
    let start = format!(r#"<D:error xmlns:D="DAV:">{condition}<D:responsedescription>"#);
    assert!(answer.body.contains(&start), "{answer:?}");
}

pub(super) const NO_SPACE: &str = "<D:sufficient-disk-space/>";

#[test]
fn tells_what_is_left_as_the_guard_sees_it() {
    let Some(site) = Site::new(&[]) else { return };
    assert_eq!(site.quota(), (0, 12 * MIB));
    assert_eq!(site.put("/a.bin", 5).status, 201);
    // At once less by what it holds, soon less by what it takes up.
    let (_, available) = site.quota();
    assert!(available <= 7 * MIB, "{available}");
    site.soon("it has been measured", || site.quota() == (5 * MIB, 7 * MIB));
    // The floor is not for uploads.
    assert_eq!(site.disk.available(), 11 * MIB);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let Some(site) = Site::new(&["--max-upload", "9MiB"]) else {
        return;
    };
    assert_eq!(site.put("/a.bin", 5).status, 201);
    is_refused(&site.put("/b.bin", 8), 507, NO_SPACE);
    is_refused(&site.put("/b.bin", 10), 413, "");
    let chunked = put_chunked(&site.server.url("/b.bin"), &site.file(8), &[]);
    is_refused(&chunked, 507, NO_SPACE);
    assert_eq!(site.names(), ["a.bin"]);
}

#[test]
fn a_copy_takes_as_much_room_as_what_it_copies() {
    let Some(site) = Site::new(&[]) else { return };
    assert_eq!(site.request("MKCOL", "/folder", &[]).status, 201);
    assert_eq!(site.put("/folder/a.bin", 3).status, 201);
    assert_eq!(site.copy("/folder/", "/copy/").status, 201);
    site.soon("it has been measured", || site.quota() == (6 * MIB, 6 * MIB));
    assert_eq!(site.put("/b.bin", 4).status, 201);
    is_refused(&site.copy("/folder/", "/another/"), 507, NO_SPACE);
    assert_eq!(site.names(), ["b.bin", "copy", "folder"]);
}

#[test]
fn cleaning_up_works_when_it_is_full() {
    let Some(site) = Site::new(&[]) else { return };
    assert_eq!(site.put("/a.bin", 11).status, 201);
    site.disk.fill();
    site.soon("it is full", || site.quota().1 == 0);
    is_refused(&site.request("MKCOL", "/folder", &[]), 507, NO_SPACE);
    assert_eq!(site.request("GET", "/a.bin", &[]).status, 200);
    let destination = format!("Destination: {}", site.server.url("/b.bin"));
    assert_eq!(site.request("MOVE", "/a.bin", &[&destination]).status, 201);
    assert_eq!(site.request("DELETE", "/b.bin", &[]).status, 204);
}

#[test]
fn an_upload_that_is_cut_off_leaves_what_was_there() {
    let Some(site) = Site::new(&[]) else { return };
    assert_eq!(site.put("/a.bin", 2).status, 201);
    let cut_off = put_chunked(&site.server.url("/a.bin"), &site.file(30), &[]);
    is_refused(&cut_off, 507, NO_SPACE);
    let content = fs::read(site.dir.join("a.bin")).expect("it is there");
    assert!(content == vec![2; 2 << 20], "{} bytes", content.len());
    assert_eq!(site.names(), ["a.bin"]);
    site.soon("its bytes are free again", || site.quota().1 == 10 * MIB);
    assert_eq!(site.put("/a.bin", 3).status, 204);
    let content = fs::read(site.dir.join("a.bin")).expect("it is there");
    assert!(content == vec![3; 3 << 20], "{} bytes", content.len());
}

/// Somebody fills the disk between two measurements: dav-server says 507 and no more.
#[test]
fn a_write_that_fails_is_told_in_the_same_words() {
    let Some(site) = Site::new(&[]) else { return };
    // Small: who is still sending when the connection closes may miss the answer.
    let file = site.desk.path().join("small");
    fs::write(&file, [7; 8 << 10]).expect("written");
    site.disk.fill();
    is_refused(&put(&site.server.url("/a.bin"), &file), 507, NO_SPACE);
    assert_eq!(site.names(), [""; 0]);
}

#[test]
fn cadaver_shows_507() {
    let Some(site) = Site::new(&[]) else { return };
    if Command::new("cadaver").arg("--version").output().is_err() {
        return println!("skipped: cadaver is not installed");
    }
    let (small, large) = (site.file(2), site.file(11));
    let script = format!("put {} small\nput {} large\n", small.display(), large.display());
    let told = cadaver(&site.server.url("/"), &script, site.desk.path());
    let (first, second) = told.split_once("/large'").expect("both were tried");
    assert!(first.contains("succeeded."), "{told}");
    assert!(second.contains("failed:\n507 Insufficient Storage"), "{told}");
    assert_eq!(site.names(), ["small"]);
}

fn cadaver(url: &str, script: &str, home: &Path) -> String {
    let mut cadaver = Command::new("cadaver")
        .arg(url)
        // No settings of the user's.
        .env("HOME", home)
        .env_remove("http_proxy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = cadaver.stdin.take().expect("piped");
    stdin.write_all(script.as_bytes()).expect("it reads");
    drop(stdin);
    let output = cadaver.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn bad_options_are_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let file = file.path().to_str().expect("UTF-8");
    for (options, parts) in [
        (&["--port", "1"][..], &["`--port`", "--help"][..]),
        (&["--dir"], &["--dir needs a value"]),
        (&["--dir", "--quota"], &["--dir needs a value"]),
        (&["--quota="], &["--quota needs a value"]),
        (&["--quota", "much"], &["--quota:", "`much`", "64MiB"]),
        (&["--min-free=-1"], &["--min-free:", "`-1`"]),
        (&["--max-upload", "1QiB"], &["--max-upload:", "`1QiB`"]),
        (&["--listen", "nowhere"], &["--listen:", "`nowhere`", "free port"]),
        (
            &["--listen=127.0.0.1:0", "--dir", file],
            &["--dir:", file, "give a directory"],
        ),
    ] {
        rejects("webdav", options, parts);
    }
}

#[test]
fn help_names_every_option() {
    let ended = run_to_end("webdav", &["--help"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for option in ["--dir", "--listen", "--min-free", "--max-upload", "--quota", "--help"] {
        assert!(ended.stdout.contains(option), "{option}: {}", ended.stdout);
    }
}
