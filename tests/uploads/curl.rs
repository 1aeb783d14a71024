//! Requests by curl.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::server::Server;

/// What curl got.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request by curl.
pub(super) struct Curl {
    command: Command,
    out: TempDir,
}

impl Curl {
    pub(super) fn is_installed() -> bool {
        Command::new("curl")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    }

    pub(super) fn new(server: &Server, path: &str) -> Self {
        let out = TempDir::new().expect("a directory");
        let mut command = Command::new("curl");
        command
            // Neither a configuration nor a proxy of the user's, and the path as it is given.
            .args([
                "-q",
                "--noproxy",
                "*",
                "--path-as-is",
                "--silent",
                "--show-error",
                "--max-time",
                "60",
            ])
            .args(["--write-out", "%{http_code}"])
            .arg("--dump-header")
            .arg(out.path().join("head"))
            .arg("--output")
            .arg(out.path().join("body"))
            .arg(format!("http://{}{path}", server.address))
            .stdin(Stdio::null());
        Self { command, out }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: &[S]) -> Self {
        self.command.args(args);
        self
    }

    /// Uploads a file, with its length.
    pub(super) fn file(self, path: &Path) -> Self {
        self.arg("--upload-file").arg(path)
    }

    /// Uploads a file in chunks, without a length.
    pub(super) fn chunked(mut self, path: &Path) -> Self {
        self.command.stdin(fs::File::open(path).expect("readable"));
        self.args(&["--upload-file", "-"])
    }

    pub(super) fn send(mut self) -> Answer {
        let output = self.command.output().expect("curl runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no answer: {complaint}");
        let head = fs::read_to_string(self.out.path().join("head")).expect("a head");
        Answer {
            status: String::from_utf8_lossy(&output.stdout).parse().expect("a status"),
            // A `100 Continue` may go before.
            head: head.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default().to_owned(),
            body: fs::read(self.out.path().join("body")).unwrap_or_default(),
        }
    }
}
