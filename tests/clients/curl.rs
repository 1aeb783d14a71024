//! The same with curl, where it is installed.

use std::process::{Command, Stdio};

use tempfile::NamedTempFile;
use tower_storage_guard::Linger;

use crate::server::{LARGE, Server};

#[test]
fn reads_the_answer() {
    let Some(curl) = Curl::find() else { return };
    let server = Server::start(Linger::default());
    for _ in 0..3 {
        let (status, _) = curl.upload(&server, &["--http1.1", "-H", "expect:"]);
        assert_eq!(status, "507");
    }
}

#[test]
fn sends_nothing_when_it_asks_before() {
    let Some(curl) = Curl::find() else { return };
    let server = Server::start(Linger::default());
    let (status, sent) = curl.upload(&server, &["--http1.1", "--expect100-timeout", "20"]);
    assert_eq!((&*status, &*sent), ("507", "0"));
}

struct Curl {
    file: NamedTempFile,
}

impl Curl {
    fn find() -> Option<Self> {
        let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            println!("skipped: curl is not installed");
            return None;
        }
        let file = NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(LARGE).expect("a sparse file");
        Some(Self { file })
    }

    /// The status that it tells, and the bytes that it says to have sent.
    fn upload(&self, server: &Server, flags: &[&str]) -> (String, String) {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--output"])
            .arg(if cfg!(windows) { "NUL" } else { "/dev/null" })
            .args(["--write-out", "%{http_code} %{size_upload}"])
            .args(flags)
            .arg("--upload-file")
            .arg(self.file.path())
            .arg(format!("http://{}/", server.address))
            .output()
            .expect("curl runs");
        let told = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told} {complaint}");
        let (status, sent) = told.split_once(' ').unwrap();
        (status.to_owned(), sent.to_owned())
    }
}
