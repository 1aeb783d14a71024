use std::{
    env, fs,
    io::Read,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::Group;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const TASK: &str = "STORAGE_GUARD_TEST_TASK";
const REPORT: &str = "STORAGE_GUARD_TEST_REPORT";

/// A process of its own in a group: this test program again, running one ignored test of it. It is asked to end by the
/// end of its standard input, and killed when this is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    dir: TempDir,
}

impl Child {
    /// `test` is the path of an ignored test, which gets `task` from [`task`].
    pub(crate) fn start(group: &Group, test: &str, task: &str) -> Self {
        Self::start_through(group, &[], test, task)
    }

    /// The same, with a command in between that runs the rest of its arguments.
    pub(crate) fn start_through(group: &Group, wrapper: &[&str], test: &str, task: &str) -> Self {
        let join = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let group = group.dir().to_str().expect("UTF-8");
        // It joins the group before it becomes the test, so that all it ever allocates is counted there.
        Self::spawn(&[&["sh", "-c", join, group], wrapper].concat(), test, task)
    }

    /// In no group of its own, by a command that runs the rest of its arguments.
    pub(crate) fn spawn(wrapper: &[&str], test: &str, task: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (program, arguments) = wrapper.split_first().expect("a command");
        let process = Command::new(program)
            .args(arguments)
            .arg(env::current_exe().expect("this test has a path"))
            .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            // To print one takes more memory than a small group has.
            .env("RUST_BACKTRACE", "0")
            .env(REPORT, dir.path().join("report"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        Self { process, dir }
    }

    /// What it reported. Waits for it; `None` when it ended without a report.
    pub(crate) fn report(&mut self) -> Option<String> {
        let file = self.dir.path().join("report");
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let ended = self.has_ended();
            if let Ok(report) = fs::read_to_string(&file) {
                return Some(report);
            }
            if ended.is_some() {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing after {PATIENCE:?}");
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("it is our child")
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.has_ended() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    /// Asks it to end, and tells how it did and what it wrote to its standard error.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        drop(self.process.stdin.take());
        let status = self.wait();
        let mut told = String::new();
        let mut stderr = self.process.stderr.take().expect("piped");
        stderr.read_to_string(&mut told).expect("UTF-8");
        (status, told)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What this process is to do; `None` when somebody ran all ignored tests.
pub(crate) fn task() -> Option<String> {
    env::var(TASK).ok()
}

/// Reports to whoever started this process.
pub(crate) fn report(text: &str) {
    let file = PathBuf::from(env::var_os(REPORT).expect("set with the task"));
    let draft = file.with_extension("draft");
    fs::write(&draft, text).expect("written");
    fs::rename(draft, file).expect("renamed");
}

/// Waits until the one who started this process asks it to end.
pub(crate) fn wait_for_the_end() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
