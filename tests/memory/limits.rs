//! Limits that are told and not found: outside of what can be seen, or for the process alone.

use std::fs;

use tower_storage_guard::{BuildErrorKind, CapacityProbe, MemoryProbe, ProbeErrorKind, Resource};

use crate::support::{MIB, Tree, figures};

#[test]
fn a_limit_from_outside_counts_against_the_outermost_group() {
    let tree = Tree::of("v2_namespace");
    let of = |limit: u64| figures(&mut tree.probe().limit(limit * MIB)).expect("sound");
    assert_eq!(of(30), (30 * MIB, 10 * MIB), "30 − (50 − 30)");
    assert_eq!(
        of(100),
        (64 * MIB, 44 * MIB),
        "the lower limit that can be seen still counts"
    );
    tree.write("sys/fs/cgroup/memory.max", "max");
    assert_eq!(of(100), (100 * MIB, 80 * MIB), "the only one");

    let tree = Tree::of("v1_nested");
    tree.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712");
    tree.write(
        "sys/fs/cgroup/memory/job/worker/memory.limit_in_bytes",
        "9223372036854771712",
    );
    tree.write("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 0\n");
    tree.write("sys/fs/cgroup/memory/job/worker/memory.stat", "total_inactive_file 0\n");
    let reading = figures(&mut tree.probe().limit(700 * MIB)).expect("sound");
    assert_eq!(
        reading,
        (700 * MIB, 100 * MIB),
        "700 − (900 − 300), not what the job or the worker use"
    );
}

#[test]
fn a_limit_where_no_group_can_be_seen_counts_against_the_machine() {
    for tree in ["not_mounted", "v2_unlimited"].map(Tree::of) {
        let (total, available) = tree.measure().expect("sound");
        // What others use fits into it, and about half of what is free.
        let limit = total - available / 2;
        let reading = figures(&mut tree.probe().limit(limit)).expect("sound");
        assert_eq!(reading.0, limit);
        let expected = available - available / 2;
        // The machine is shared, so its figures move.
        assert!(reading.1.abs_diff(expected) < 256 * MIB, "{} {expected}", reading.1);
    }
}

#[test]
fn a_process_is_measured_against_its_budget() {
    let tree = Tree::of("not_mounted");
    let resident = 2048 * page_size();
    let process = |budget: u64| MemoryProbe::process(budget).at_root(tree.root());
    assert_eq!(
        figures(&mut process(64 * MIB)).expect("sound"),
        (64 * MIB, 64 * MIB - resident)
    );
    assert_eq!(figures(&mut process(MIB)).expect("sound"), (MIB, 0), "over the budget");
    let limited = figures(&mut process(64 * MIB).limit(32 * MIB)).expect("sound");
    assert_eq!(limited, (32 * MIB, 32 * MIB - resident), "the lower of both");
}

#[test]
fn the_memory_of_this_process_shows_in_its_budget() {
    const BUDGET: u64 = 1 << 40;
    let resident = || BUDGET - figures(&mut MemoryProbe::process(BUDGET)).expect("sound").1;
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let told = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("there");
    let told = told.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    let before = resident();
    // Other tests run beside this one.
    assert!(before.abs_diff(told) < 32 * MIB, "{before} {told}");
    let block = vec![1_u8; 256 << 20];
    let after = resident();
    assert!(after > before + 200 * MIB, "{before} {after}");
    drop(block);
}

#[test]
fn a_limit_of_nothing_is_an_error_when_the_resource_is_built() {
    for (probe, told) in [
        (MemoryProbe::new().limit(0), "limit = 0"),
        (MemoryProbe::process(0), "budget = 0"),
    ] {
        let error = probe.clone().measure().expect_err("makes no sense");
        assert_eq!(error.kind(), ProbeErrorKind::InvalidSetting);
        let error = Resource::builder("memory", probe).build().expect_err("makes no sense");
        assert_eq!(error.kind(), BuildErrorKind::FirstMeasurement);
        assert!(error.to_string().contains(told), "{error}");
    }
}

fn page_size() -> u64 {
    // Rows of `KernelPageSize` are in kB; the first mapping is the program itself.
    let maps = fs::read_to_string("/proc/self/smaps").expect("readable");
    let line = maps
        .lines()
        .find_map(|line| line.strip_prefix("KernelPageSize:"))
        .expect("there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
