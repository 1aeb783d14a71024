//! Which groups count, in saved trees; the figures are worked out by hand.

use std::fs;

use tower_storage_guard::{CapacityProbe, MemoryProbe, ProbeErrorKind};

use crate::support::{MIB, Tree, figures};

fn mib(tree: &Tree) -> (u64, u64) {
    let (total, available) = tree.measure().expect("sound");
    assert_eq!((total % MIB, available % MIB), (0, 0), "{total} {available}");
    (total / MIB, available / MIB)
}

/// What `/proc/meminfo` of the real machine says, in bytes.
fn machine_total() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("readable");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .expect("there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_limit_above_the_own_group_counts() {
    // The service: 64 − (40 − 10).
    assert_eq!(mib(&Tree::of("v2_nested")), (64, 34));
}

#[test]
fn whichever_level_has_the_least_left_decides() {
    let tree = Tree::of("v2_nested");
    tree.write("sys/fs/cgroup/app.slice/memory.current", (1024 * MIB).to_string());
    assert_eq!(mib(&tree), (64, 34), "the slice: 1024 − (1024 − 100) is more");
    tree.write("sys/fs/cgroup/app.slice/memory.max", (944 * MIB).to_string());
    assert_eq!(
        mib(&tree),
        (64, 20),
        "the slice: 944 − (1024 − 100); the total is that of the service"
    );
    tree.write(
        "sys/fs/cgroup/app.slice/upload.service/worker/memory.max",
        (32 * MIB).to_string(),
    );
    assert_eq!(mib(&tree), (32, 3), "the worker: 32 − (38 − 9)");
    tree.write(
        "sys/fs/cgroup/app.slice/upload.service/worker/memory.current",
        (50 * MIB).to_string(),
    );
    assert_eq!(mib(&tree), (32, 0), "over its limit");
}

#[test]
fn the_lower_one_of_high_and_max_is_the_limit() {
    let tree = Tree::of("v2_high");
    assert_eq!(mib(&tree), (48, 32));
    tree.write("sys/fs/cgroup/job/memory.high", (80 * MIB).to_string());
    assert_eq!(mib(&tree), (64, 48));
    tree.write("sys/fs/cgroup/job/memory.max", "max\n");
    assert_eq!(mib(&tree), (80, 64), "high alone");
}

#[test]
fn without_any_limit_it_is_the_machine() {
    for name in ["v2_unlimited", "not_mounted"] {
        let (total, available) = Tree::of(name).measure().expect("sound");
        assert_eq!(total, machine_total(), "{name}");
        assert!(available > 0 && available < total, "{name}: {available}");
    }
    let everything_missing = tempfile::tempdir().expect("a directory");
    let mut probe = MemoryProbe::new().at_root(everything_missing.path());
    assert_eq!(figures(&mut probe).expect("a kernel without groups").0, machine_total());
}

#[test]
fn a_limit_above_that_of_the_machine_is_none() {
    let tree = Tree::of("v2_high");
    tree.write("sys/fs/cgroup/job/memory.max", (1_u64 << 60).to_string());
    tree.write("sys/fs/cgroup/job/memory.high", "max");
    let (total, available) = tree.measure().expect("sound");
    assert_eq!(total, machine_total());
    assert!(available < total);
}

#[test]
fn containers_find_their_group_with_and_without_a_namespace() {
    for name in ["v2_namespace", "v2_bound"] {
        assert_eq!(mib(&Tree::of(name)), (64, 44), "{name}");
    }
    let error = Tree::of("v2_hidden").measure().expect_err("nothing to find it by");
    assert_eq!(error.kind(), ProbeErrorKind::HiddenGroup);
    assert!(error.to_string().contains("proc/self/mountinfo"), "{error}");
}

#[test]
fn version_one_counts_what_is_below_and_knows_hidden_limits() {
    // The job: 64 − (60 − 12), all below it included; the worker: 48 − (20 − 5).
    let tree = Tree::of("v1_nested");
    assert_eq!(mib(&tree), (48, 16));
    tree.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", (20 * MIB).to_string());
    assert_eq!(mib(&tree), (48, 33));
    // Its pod's limit, told by `hierarchical_memory_limit`: 64 − (20 − 5).
    assert_eq!(mib(&Tree::of("v1_bound")), (64, 49));
}

#[test]
fn a_group_of_version_one_that_does_not_count_those_below_is_left_out() {
    let tree = Tree::of("v1_nested");
    tree.write("sys/fs/cgroup/memory/job/memory.use_hierarchy", "0\n");
    assert_eq!(mib(&tree), (48, 33), "the worker alone");
    let mut limited = tree.probe().limit(40 * MIB);
    assert_eq!(
        figures(&mut limited).expect("sound"),
        (40 * MIB, 25 * MIB),
        "the worker is the outermost"
    );
    tree.remove("sys/fs/cgroup/memory/job/memory.use_hierarchy");
    assert_eq!(mib(&tree), (48, 16), "all do where the switch is gone");
}

#[test]
fn in_a_hybrid_system_memory_is_where_its_controller_is() {
    let tree = Tree::of("hybrid");
    assert_eq!(mib(&tree), (64, 34));
    tree.write("sys/fs/cgroup/unified/job/memory.max", MIB.to_string());
    assert_eq!(mib(&tree), (64, 34), "version 2 has no say in it");
}

#[test]
fn a_group_without_statistics_counts_all_it_uses() {
    for (name, stat, available) in [
        ("v2_namespace", "sys/fs/cgroup/memory.stat", 14),
        ("hybrid", "sys/fs/cgroup/memory/job/memory.stat", 24),
    ] {
        let tree = Tree::of(name);
        tree.remove(stat);
        assert_eq!(mib(&tree), (64, available), "{name}");
    }
}

#[test]
fn a_process_that_is_moved_is_followed() {
    let tree = Tree::of("v2_nested");
    let mut probe = tree.probe();
    assert_eq!(figures(&mut probe).expect("sound").0, 64 * MIB);
    tree.write("proc/self/cgroup", "0::/app.slice\n");
    assert_eq!(figures(&mut probe).expect("sound"), (1024 * MIB, 124 * MIB));
    tree.write("proc/self/cgroup", "0::/no/such/group\n");
    let error = probe.measure().expect_err("a group that is not there");
    assert_eq!(error.kind(), ProbeErrorKind::NotFound);
    assert!(error.to_string().contains("no/such/group"), "{error}");
}

#[test]
fn what_is_mounted_is_looked_up_again_after_a_failure() {
    let tree = Tree::of("v2_namespace");
    let mut probe = tree.probe();
    probe.measure().expect("sound");
    let mounts = fs::read_to_string(tree.root().join("proc/self/mountinfo")).expect("there");
    tree.write("proc/self/mountinfo", mounts.replace("/sys/fs/cgroup", "/cg"));
    fs::rename(tree.root().join("sys/fs/cgroup"), tree.root().join("cg")).expect("moved");
    probe.measure().expect_err("gone from where it was");
    assert_eq!(figures(&mut probe).expect("found again"), (64 * MIB, 44 * MIB));
}
