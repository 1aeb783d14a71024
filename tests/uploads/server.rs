//! The example as a process of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use tempfile::NamedTempFile;

use super::site::{PATIENCE, eventually};

/// A running server; killed when it is dropped.
pub(super) struct Server {
    process: Process,
    pub(super) address: SocketAddr,
    /// What it told before it served.
    pub(super) announcement: String,
    log: NamedTempFile,
}

impl Server {
    pub(super) fn start<S: AsRef<std::ffi::OsStr>>(dir: &Path, options: &[S]) -> Self {
        let log = NamedTempFile::new().expect("a file for the log");
        let mut process = Process::spawn(
            example()
                .args(["--listen", "127.0.0.1:0", "--dir"])
                .arg(dir)
                .args(options)
                .stdout(Stdio::piped())
                .stderr(log.reopen().expect("the log opens twice")),
        );
        let stdout = process.0.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut announcement = String::new();
        loop {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                let log = fs::read_to_string(log.path()).unwrap_or_default();
                panic!("the server does not serve: {announcement}{log}");
            };
            announcement += &line;
            announcement.push('\n');
            if let Some(address) = line.strip_prefix("listening on http://") {
                return Self {
                    process,
                    address: address.parse().expect("an address"),
                    announcement,
                    log,
                };
            }
        }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("the log is there")
    }

    /// Asks it to stop.
    pub(super) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its settings again.
    pub(super) fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let status = kill.arg(signal).arg(self.process.0.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Begins a request by hand: `head` without the empty line.
    pub(super) fn connect(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        write!(stream, "{head}\r\nHost: test\r\n\r\n").expect("sent");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the server's log:\n{}",
                fs::read_to_string(self.log.path()).unwrap_or_default()
            );
        }
    }
}

/// Runs the example with options that should not let it serve.
pub(super) fn run_to_end<S: AsRef<std::ffi::OsStr>>(options: &[S]) -> (ExitStatus, String, String) {
    let mut process = Process::spawn(example().args(options).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let status = process.wait();
    (status, text(process.0.stdout.take()), text(process.0.stderr.take()))
}

fn text(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    pipe.expect("piped").read_to_string(&mut text).expect("UTF-8");
    text
}

struct Process(Child);

impl Process {
    fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("the example starts"))
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.0.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example() -> Command {
    let test = env::current_exe().expect("this test has a path");
    // From target/debug/deps/test to target/debug/examples/uploads.
    let build = test.ancestors().nth(2).expect("cargo put it three levels deep");
    let path = build
        .join("examples")
        .join(format!("uploads{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: `cargo test` builds it, and so does `cargo build --example uploads`",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_remove("RUST_LOG");
    command
}
