//! An example as a process of its own.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running example; killed when it is dropped.
pub(crate) struct Example {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Example {
    /// On a free port.
    pub(crate) fn serve(name: &str, options: &[&str]) -> Self {
        let mut process = Process::spawn(
            command(name)
                .args(["--listen", "127.0.0.1:0"])
                .args(options)
                .stdout(Stdio::piped()),
        );
        let stdout = process.0.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let line = lines.recv_timeout(PATIENCE).expect("it tells where it listens");
        let address = line.strip_prefix("listening on http://").expect("an address");
        Self {
            address: address.parse().expect("an address"),
            _process: process,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// What an example that does not go on serving leaves.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs an example that ends by itself.
pub(crate) fn run_to_end(name: &str, options: &[&str]) -> Ended {
    let mut process = Process::spawn(
        command(name)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match process.0.try_wait().expect("it is our child") {
            Some(status) => break status,
            None if Instant::now() > deadline => panic!("{name} {options:?} goes on"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    Ended {
        code: status.code(),
        stdout: text(process.0.stdout.take()),
        stderr: text(process.0.stderr.take()),
    }
}

/// Runs an example with bad options: it must say what is wrong in one line, and serve nothing.
pub(crate) fn rejects(name: &str, options: &[&str], parts: &[&str]) {
    let ended = run_to_end(name, options);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{options:?}: {ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{options:?}: {ended:?}");
    for part in parts {
        assert!(ended.stderr.contains(part), "{options:?}: {part}: {}", ended.stderr);
    }
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
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(name: &str) -> Command {
    let test = env::current_exe().expect("this test has a path");
    // From target/debug/deps/test to target/debug/examples.
    let build = test.ancestors().nth(2).expect("cargo put it three levels deep");
    let path = build
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: `cargo test` builds it, and so does `cargo build --examples`",
        path.display()
    );
    Command::new(path)
}
