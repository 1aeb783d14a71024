use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// A control group of the real kernel with a limit of memory and no swap. Removed when dropped.
pub(crate) struct Group {
    dir: PathBuf,
    is_v2: bool,
    limit: u64,
}

impl Group {
    /// A group below the root of what is mounted, or why none can be made.
    pub(crate) fn limited(bytes: u64) -> Result<Self, String> {
        let (root, is_v2) = hierarchy().ok_or("no control groups with memory are mounted")?;
        Self::make(&root, is_v2, bytes)
    }

    /// A group below this one.
    pub(crate) fn inner(&self, bytes: u64) -> Result<Self, String> {
        Self::make(&self.dir, self.is_v2, bytes)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.is_v2
    }

    /// How many processes were killed because the group was out of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        field(&self.dir.join(file), "oom_kill")
    }

    /// The most memory that was ever in use, in bytes.
    pub(crate) fn most_used(&self) -> u64 {
        let file = if self.is_v2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        // Version 2 tells it since Linux 5.19.
        let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn make(parent: &Path, is_v2: bool, bytes: u64) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "storage-guard-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        if is_v2 {
            write(&parent.join("cgroup.subtree_control"), "+memory")?;
        }
        let dir = parent.join(name);
        fs::create_dir(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        let group = Self {
            dir,
            is_v2,
            limit: bytes,
        };
        let bytes = bytes.to_string();
        if is_v2 {
            write(&group.dir.join("memory.max"), &bytes)?;
            // Without swap there is no such file.
            let _ = write(&group.dir.join("memory.swap.max"), "0");
        } else {
            write(&group.dir.join("memory.limit_in_bytes"), &bytes)?;
            let _ = write(&group.dir.join("memory.memsw.limit_in_bytes"), &bytes);
        }
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was killed leaves its group a little later.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} could not be removed", self.dir.display());
    }
}

/// What a group has left, worked out without the probe: `limit − (usage − inactive_file)`.
pub(crate) fn room_in(dir: &Path) -> u64 {
    let number = |file| {
        fs::read_to_string(dir.join(file))
            .ok()
            .map(|text| text.trim().parse::<u64>().expect("a number"))
    };
    let (limit, usage, inactive) = match number("memory.limit_in_bytes") {
        Some(limit) => (limit, number("memory.usage_in_bytes"), "total_inactive_file"),
        None => (
            number("memory.max").expect("limited"),
            number("memory.current"),
            "inactive_file",
        ),
    };
    let in_use = usage.expect("counted") - field(&dir.join("memory.stat"), inactive);
    limit.saturating_sub(in_use)
}

/// What a group has left by the limit less the usage, page cache included.
pub(crate) fn unused_in(dir: &Path) -> u64 {
    let number = |file| {
        fs::read_to_string(dir.join(file))
            .ok()
            .map(|text| text.trim().parse::<u64>().expect("a number"))
    };
    let limit = number("memory.limit_in_bytes").or_else(|| number("memory.max"));
    let usage = number("memory.usage_in_bytes").or_else(|| number("memory.current"));
    limit.expect("limited").saturating_sub(usage.expect("counted"))
}

fn field(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).expect("readable");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect(name).parse().expect("a number")
}

/// Where the hierarchy with the memory controller is mounted, and whether it is of version 2.
fn hierarchy() -> Option<(PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let point = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    let is_memory =
        |line: &&str| line.contains(" - cgroup ") && line.rsplit([' ', ',']).any(|option| option == "memory");
    if let Some(v1) = mounts.lines().find(is_memory).and_then(point) {
        return Some((v1, false));
    }
    let v2 = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .and_then(point)?;
    let controllers = fs::read_to_string(v2.join("cgroup.controllers")).ok()?;
    controllers
        .split_whitespace()
        .any(|name| name == "memory")
        .then_some((v2, true))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
