//! A node in a process of its own, which a test tells line by line what to do, stops, and kills. It writes real files.

use std::{
    env, fs,
    fs::OpenOptions,
    io::{BufRead, BufReader, Write, stdin},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tower_storage_guard::{Grant, Leasing, Ledger, Limit};

use crate::{fleet::TENANT, node::patient};

pub(crate) const LIMIT: u64 = 1_000_000;
const TTL: Duration = Duration::from_millis(400);
const PIECE: u64 = 1000;

pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStderr>,
}

impl Process {
    /// A node of this name that writes into this directory. Leases that ended may be `reaped` at once, or never.
    pub(crate) fn start(name: &str, url: &str, directory: &Path, reaps: bool) -> Self {
        let mut child = Command::new(env::current_exe().expect("this one"))
            .args(["--exact", "process::a_node_in_a_process_of_its_own", "--nocapture"])
            .env("NODE_NAME", name)
            .env("NODE_URL", url)
            .env("NODE_DIRECTORY", directory)
            .env("NODE_REAPS", if reaps { "yes" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stderr.take().expect("piped"));
        let mut process = Self { child, orders, answers };
        assert_eq!(process.answer(), "ready");
        process
    }

    pub(crate) fn tell(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("it listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is really there.
pub(crate) fn written(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("a directory");
    files
        .map(|file| file.and_then(|file| file.metadata()).expect("a file").len())
        .sum()
}

/// No test by itself: this is what other tests start.
#[test]
fn a_node_in_a_process_of_its_own() {
    let Ok(name) = env::var("NODE_NAME") else { return };
    let (url, directory) = (env::var("NODE_URL").unwrap(), env::var("NODE_DIRECTORY").unwrap());
    let mut leasing = Leasing::new(patient(&url).build().unwrap())
        .node(name)
        .chunk(10_000)
        .ttl(TTL);
    if !env::var("NODE_REAPS").unwrap().is_empty() {
        leasing = leasing.reap_after(Duration::ZERO);
    }
    let ledger = Ledger::builder().default_limit(Limit::bytes(LIMIT)).leasing(leasing);
    let mut node = Node {
        ledger: ledger.build().unwrap(),
        file: Path::new(&directory).join(std::process::id().to_string()),
        directory: directory.into(),
        grants: Vec::new(),
    };
    eprintln!("ready");
    for line in stdin().lines() {
        let answer = node.obey(&line.unwrap());
        eprintln!("{answer}");
    }
}

struct Node {
    ledger: Ledger,
    file: PathBuf,
    directory: PathBuf,
    grants: Vec<Grant>,
}

impl Node {
    fn obey(&mut self, order: &str) -> String {
        let (what, bytes) = order.split_once(' ').unwrap_or((order, "0"));
        let bytes = bytes.parse().unwrap();
        match what {
            "reserve" => return self.reserve(bytes),
            "write" => self.write(bytes),
            "commit" => self.grants.pop().unwrap().commit(bytes),
            // As much as there is at once.
            "grab" => while self.store_a_piece() {},
            // What others have idle comes back after a while.
            "fill" => return self.fill(),
            "measure" => {
                let scan = self.ledger.scan(TENANT).wait().unwrap();
                scan.reconcile(written(&self.directory));
            }
            _ => panic!("unknown order {order}"),
        }
        "done".to_owned()
    }

    fn reserve(&mut self, bytes: u64) -> String {
        match self.ledger.reserve(TENANT, bytes).wait() {
            Ok(grant) => {
                self.grants.push(grant);
                "granted".to_owned()
            }
            Err(denied) => format!("{:?}", denied.kind()),
        }
    }

    fn write(&self, bytes: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file).unwrap();
        file.write_all(&vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }

    fn store_a_piece(&mut self) -> bool {
        let Ok(grant) = self.ledger.reserve(TENANT, PIECE).wait() else {
            return false;
        };
        self.write(PIECE);
        grant.commit(PIECE);
        true
    }

    fn fill(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        while written(&self.directory) < LIMIT / 100 * 99 {
            if Instant::now() > deadline {
                return format!("only {} bytes can be used", written(&self.directory));
            }
            self.store_a_piece();
        }
        "done".to_owned()
    }
}
