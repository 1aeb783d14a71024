//! The example `hyper`, used with curl over HTTP/1 and HTTP/2.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    MIB,
    curl::{self, Answer, curl, put, put_chunked},
    example::{Example, rejects},
    small_disk,
    volume::Volume,
};

/// Fields drop in this order: the server must be gone before its disk.
struct Site {
    server: Example,
    dir: PathBuf,
    desk: TempDir,
    disk: Volume,
}

impl Site {
    /// On 16 MiB, of which 5 % stay free.
    fn new() -> Option<Self> {
        if !curl::is_installed() {
            return None;
        }
        let disk = small_disk()?;
        let dir = disk.path().join("files");
        Some(Self {
            server: Example::serve("hyper", &["--dir", dir.to_str().expect("UTF-8")]),
            dir,
            desk: TempDir::new().expect("a directory"),
            disk,
        })
    }

    fn file(&self, mebibytes: u64) -> PathBuf {
        let path = self.desk.path().join(format!("{mebibytes}.bin"));
        fs::write(&path, vec![mebibytes as u8; (mebibytes * MIB) as usize]).expect("written");
        path
    }

    fn put(&self, name: &str, mebibytes: u64) -> Answer {
        put(&self.server.url(name), &self.file(mebibytes))
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.dir.join(name)).expect("it is there").len()
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.dir).expect("a directory").count()
    }
}

fn is_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.body.contains(&format!(r#""reason":"{reason}""#)), "{answer:?}");
}

#[test]
fn stores_what_fits_and_refuses_the_rest() {
    let Some(site) = Site::new() else { return };
    assert_eq!(site.put("/a.bin", 10).status, 201);
    assert_eq!(site.size("a.bin"), 10 * MIB);
    is_refused(&site.put("/b.bin", 6), 507, "space");
    is_refused(&site.put("/b.bin", 17), 413, "exceeds_capacity");
    let chunked = put_chunked(&site.server.url("/b.bin"), &site.file(12), &[]);
    is_refused(&chunked, 507, "space");
    assert_eq!(site.count(), 1, "nothing of a refused upload stays");
}

#[tokio::test]
async fn serves_http2_as_well() {
    let Some(site) = Site::new() else { return };
    let url = site.server.url("/a.bin");
    let file = site.file(10);
    let stored = curl(&url, &["--http2-prior-knowledge", "-T", file.to_str().expect("UTF-8")]);
    assert_eq!((stored.status, site.size("a.bin")), (201, 10 * MIB));

    // curl 7.88 takes any reset for a failure, also one that follows a whole answer.
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    for _ in 0..10 {
        let request = Request::put(&url).body(Full::new(Bytes::from(vec![7; 6 << 20])));
        let answer = client.request(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), 507);
        let problem = answer.into_body().collect().await.expect("whole").to_bytes();
        let problem: Value = serde_json::from_slice(&problem).expect("JSON");
        assert_eq!(problem["reason"], "space");
    }
}

/// Somebody fills the disk between two measurements. The service only returns its error.
#[test]
fn a_write_that_fails_is_told_in_the_same_words() {
    let Some(site) = Site::new() else { return };
    // Small: who is still sending when the connection closes may miss the answer.
    let file = site.desk.path().join("small");
    fs::write(&file, [7; 8 << 10]).expect("written");
    site.disk.fill();
    is_refused(&put(&site.server.url("/a.bin"), &file), 507, "space");
    assert_eq!(site.count(), 0);
}

#[test]
fn takes_names_only_that_stay_in_the_directory() {
    let Some(site) = Site::new() else { return };
    for (path, status) in [
        ("/", 400),
        ("/..", 400),
        ("/.hidden", 400),
        ("/a/b", 400),
        ("/a%2Fb", 400),
        ("/a.txt", 201),
    ] {
        let answer = curl(&site.server.url(path), &["--path-as-is", "-X", "PUT", "--data", "x"]);
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(curl(&site.server.url("/a.txt"), &[]).status, 405);
    assert_eq!(site.count(), 1);
}

#[test]
fn bad_options_are_named() {
    rejects("hyper", &["--port"], &["`--port`", "--dir and --listen"]);
    rejects("hyper", &["--dir"], &["--dir needs a value"]);
    rejects("hyper", &["--listen", "nowhere"], &["--listen:", "`nowhere`"]);
    rejects(
        "hyper",
        &["--listen", "127.0.0.1:0", "--dir", "/dev/null/x"],
        &["--dir:", "`/dev/null/x`"],
    );
}
