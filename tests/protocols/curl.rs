//! Requests by curl.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// What curl got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub(crate) fn is_installed() -> bool {
    let is_installed = Command::new("curl").arg("--version").output().is_ok();
    if !is_installed {
        println!("skipped: curl is not installed");
    }
    is_installed
}

pub(crate) fn curl(url: &str, options: &[&str]) -> Answer {
    send(url, options, Stdio::null())
}

/// Uploads a file, with its length.
pub(crate) fn put(url: &str, file: &Path) -> Answer {
    curl(url, &["--upload-file", file.to_str().expect("UTF-8")])
}

/// Uploads a file in chunks, without a length.
pub(crate) fn put_chunked(url: &str, file: &Path, options: &[&str]) -> Answer {
    let options = [options, &["--upload-file", "-"]].concat();
    send(url, &options, File::open(file).expect("readable").into())
}

fn send(url: &str, options: &[&str], stdin: Stdio) -> Answer {
    let out = TempDir::new().expect("a directory");
    let output = Command::new("curl")
        // Neither a configuration nor a proxy of the user's.
        .args(["-q", "--noproxy", "*", "--silent", "--show-error", "--max-time", "30"])
        .args(["--write-out", "%{http_code}"])
        .arg("--dump-header")
        .arg(out.path().join("head"))
        .arg("--output")
        .arg(out.path().join("body"))
        .args(options)
        .arg(url)
        .stdin(stdin)
        .output()
        .expect("curl runs");
    assert!(
        output.status.success(),
        "no answer: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let head = fs::read_to_string(out.path().join("head")).expect("a head");
    let body = fs::read(out.path().join("body")).unwrap_or_default();
    Answer {
        status: String::from_utf8_lossy(&output.stdout).parse().expect("a status"),
        // A `100 Continue` may go before.
        head: head.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}
