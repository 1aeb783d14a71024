//! The probe in real groups, against figures worked out from the group's files.

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
};

use tower_storage_guard::{CapacityProbe, MemoryProbe, ProbeErrorKind};

use crate::support::{Child, Group, MIB, child, or_skip, room_in, unused_in};

#[test]
fn agrees_with_the_limit_less_the_working_set() {
    let group = or_skip!(Group::limited(64 * MIB));
    expect_success(Child::start(&group, "real_group::measuring", &tell("fill", &[&group])));
    assert_eq!(group.oom_kills(), 0);
}

#[test]
fn agrees_when_the_outer_group_has_less_left() {
    let outer = or_skip!(Group::limited(64 * MIB));
    let inner = or_skip!(outer.inner(48 * MIB));
    let neighbour = or_skip!(outer.inner(60 * MIB));
    let mut other = Child::start(&neighbour, "real_group::taking_up", "40");
    assert!(other.report().is_some(), "it holds its memory");
    expect_success(Child::start(
        &inner,
        "real_group::measuring",
        &tell("once", &[&inner, &outer]),
    ));
    let (status, told) = other.finish();
    assert!(status.success(), "{told}");
}

#[test]
fn agrees_when_the_inner_group_has_less_left() {
    let outer = or_skip!(Group::limited(256 * MIB));
    let inner = or_skip!(outer.inner(64 * MIB));
    expect_success(Child::start(
        &inner,
        "real_group::measuring",
        &tell("fill", &[&inner, &outer]),
    ));
}

#[test]
fn finds_its_group_inside_a_namespace() {
    let group = or_skip!(Group::limited(64 * MIB));
    let point = tempfile::tempdir().expect("a directory");
    let point = point.path().display();
    let mount = match group.is_v2() {
        true => format!("mount -t cgroup2 none {point}"),
        false => format!("mount -t cgroup -o memory none {point}"),
    };
    or_skip!(try_unshare());
    let script = format!(r#"{mount} && exec "$@""#);
    let wrapper = ["unshare", "--cgroup", "--mount", "sh", "-c", &script, "sh"];
    // From inside, the group is the root of what is mounted.
    let task = format!("fill:64:{point}");
    expect_success(Child::start_through(&group, &wrapper, "real_group::measuring", &task));
}

#[test]
fn a_namespace_with_the_old_mount_is_an_error() {
    let group = or_skip!(Group::limited(64 * MIB));
    or_skip!(try_unshare());
    let wrapper = ["unshare", "--cgroup"];
    expect_success(Child::start_through(
        &group,
        &wrapper,
        "real_group::measuring",
        "hidden:0:",
    ));
}

fn try_unshare() -> Result<(), String> {
    let tried = std::process::Command::new("unshare")
        .args(["--cgroup", "--mount", "true"])
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "no namespace can be made: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("unshare cannot be run: {error}")),
    }
}

/// What to do, the least limit in MiB, and the groups that count.
fn tell(what: &str, groups: &[&Group]) -> String {
    let least = groups.iter().map(|group| group.limit()).min().expect("a group") / MIB;
    let dirs: Vec<_> = groups
        .iter()
        .map(|group| group.dir().to_str().expect("UTF-8"))
        .collect();
    format!("{what}:{least}:{}", dirs.join(":"))
}

fn expect_success(mut child: Child) {
    let report = child.report();
    let (status, told) = child.finish();
    assert!(status.success(), "{status}: {told}");
    eprint!("{}", report.expect("it reports before it ends"));
}

/// Runs inside of a group.
#[test]
#[ignore = "a process of its own, which other tests start"]
fn measuring() {
    let Some(task) = child::task() else { return };
    let mut parts = task.split(':');
    let what = parts.next().expect("what to do");
    let total = parts.next().expect("a limit").parse::<u64>().expect("a number") * MIB;
    let groups: Vec<PathBuf> = parts.map(PathBuf::from).collect();
    let mut probe = MemoryProbe::new();
    if what == "hidden" {
        let error = probe.measure().expect_err("no mount shows the group");
        assert_eq!(error.kind(), ProbeErrorKind::HiddenGroup, "{error}");
        child::report("hidden, as it should be\n");
        return;
    }

    let mut comparison = Comparison {
        probe,
        total,
        groups,
        report: String::new(),
    };
    comparison.at("at the start");
    if what == "fill" {
        fill(&mut comparison);
    }
    child::report(&comparison.report);
}

fn fill(comparison: &mut Comparison) {
    let before = comparison.at("before anything is allocated");
    let block = black_box(vec![1_u8; 20 << 20]);
    let with_block = comparison.at("with 20 MiB allocated");
    assert!(
        before - with_block > 18 * MIB && before - with_block < 24 * MIB,
        "{before} {with_block}"
    );

    if !is_on_a_disk(scratch()) {
        comparison.report += "no files were written, for want of a disk\n";
        return;
    }
    let _file = write_a_file(200 << 20);
    let with_files = comparison.at("after 200 MiB went through the page cache");
    assert!(
        with_files + 6 * MIB > with_block,
        "the cache is not in use: {with_block} {with_files}"
    );
    let unused = comparison
        .groups
        .iter()
        .map(|dir| unused_in(dir))
        .min()
        .expect("a group");
    comparison.report += &format!("limit − usage would be {unused}\n");
    assert!(
        unused + 10 * MIB < with_files,
        "the cache really filled the limit: {unused} {with_files}"
    );

    drop(block);
    comparison.at("with the block freed");
}

struct Comparison {
    probe: MemoryProbe,
    total: u64,
    groups: Vec<PathBuf>,
    report: String,
}

impl Comparison {
    /// Measures between two looks at the files. Tells what is available.
    fn at(&mut self, when: &str) -> u64 {
        let computed = || self.groups.iter().map(|dir| room_in(dir)).min().expect("a group");
        let before = computed();
        let reading = self.probe.measure().expect("measured");
        let expected = before / 2 + computed() / 2;
        let percent = 100.0 * reading.available.abs_diff(expected) as f64 / expected as f64;
        let line = format!(
            "{when}: probe {}, computed {expected}, {percent:.2} % apart\n",
            reading.available
        );
        assert!(percent < 2.0, "{line}");
        assert_eq!(reading.total, self.total, "the least limit");
        self.report += &line;
        reading.available
    }
}

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Where the kernel can write pages back and drop them.
fn is_on_a_disk(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::statfs(path).expect("it is there").f_type as i64;
    kind != TMPFS && kind != RAMFS
}

/// Its pages stay in the cache until it is dropped.
fn write_a_file(bytes: usize) -> File {
    let mut file: File = tempfile::tempfile_in(scratch()).expect("a file");
    let block = vec![7_u8; 1 << 20];
    for _ in 0..bytes >> 20 {
        file.write_all(&block).expect("written");
    }
    file.sync_all().expect("synced");
    file
}

/// Holds as many MiB as it is told.
#[test]
#[ignore = "a process of its own, which other tests start"]
fn taking_up() {
    let Some(task) = child::task() else { return };
    let block = black_box(vec![1_u8; task.parse::<usize>().expect("a number") << 20]);
    child::report("taken");
    child::wait_for_the_end();
    drop(block);
}
