//! A redis-server of a test's own. Needs the feature `redis`.

#![allow(dead_code, reason = "no test needs all of it")]

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A server on a port and in a directory of its own, which both stay when it is killed and started again. It ends when it
/// is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

/// Other processes' sockets get their ports elsewhere.
const PORTS: (u32, u32) = (20_000, 12_000);

impl RedisServer {
    /// One that keeps nothing on disk. Without a redis-server, says so and gives `None`.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// One with settings as in `redis.conf`, such as `["--appendonly", "yes"]`.
    pub(crate) fn with(settings: &[&str]) -> Option<Self> {
        let installed = Command::new("redis-server").arg("--version").output();
        if installed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            println!("skipped: redis-server is not installed");
            return None;
        }
        loop {
            let mut server = Self {
                dir: tempfile::tempdir().expect("a temporary directory"),
                port: free_port(),
                settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
                child: None,
            };
            match server.try_launch() {
                Ok(()) => return Some(server),
                // Somebody was faster.
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("redis-server does not start: {log}"),
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn port(&self) -> String {
        self.port.to_string()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("socket")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn client(&self) -> Connection {
        self.try_client().expect("redis-server answers")
    }

    /// Runs a command, such as `["CONFIG", "SET", "maxmemory", "1"]`.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).expect("redis-server does what it is told")
    }

    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query(&mut self.client())
    }

    /// Without a chance to save anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it ends");
        }
    }

    /// Starts again what was killed.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.try_launch().expect("redis-server starts again");
    }

    /// It keeps its connections, and nothing answers, until it is [thawed](Self::thaw).
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().map(Pid::from_child).expect("it runs");
        kill_process(pid, signal).expect("it is ours");
    }

    /// The error is what it wrote.
    fn try_launch(&mut self) -> Result<(), String> {
        let log = self.path().join("log");
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--loglevel", "notice", "--logfile"])
            .arg(&log)
            .arg("--dir")
            .arg(self.path())
            .arg("--unixsocket")
            .arg(self.socket())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs");
        let child = self.child.insert(child);
        let pid = child.id();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("ours"))
                .is_some()
            {
                self.child = None;
                return Err(fs::read_to_string(&log).unwrap_or_default());
            }
            if self.is_ready(pid) {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Also of a server that wants a password.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(mut client) = self.try_client() else {
            return false;
        };
        match redis::cmd("INFO").arg("all").query::<String>(&mut client) {
            Ok(info) => info.contains(&format!("process_id:{pid}\r")) && info.contains("\nloading:0\r"),
            Err(error) => error.code() == Some("NOAUTH"),
        }
    }

    fn try_client(&self) -> redis::RedisResult<Connection> {
        let client = redis::Client::open(self.url())?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(10))?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(connection)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = process::id().wrapping_mul(97) + NEXT.fetch_add(1, Relaxed);
        let port = u16::try_from(PORTS.0 + number % PORTS.1).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
