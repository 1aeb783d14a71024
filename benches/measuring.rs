//! What one measurement costs: the median of many, in nanoseconds. `cargo bench --bench measuring`
//!
//! A sampler measures a few times a second on a thread of its own, so these are figures for the machine's idle load, not
//! for a request. Beside them stands what the system calls and files that a measurement is made of took on their own when
//! they were measured before (Linux, 2 shared cores, nanoseconds).
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::{hint::black_box, path::Path, time::Instant};

use tower_storage_guard::{
    CapacityProbe, DiskProbe, MemoryProbe, Pressure, PressureProbe, PressureWindow, Publisher, Reading,
};

fn main() {
    println!(
        "{:>9}  {:>9}  probe (what it is made of, measured before)",
        "median ns", "best ns"
    );
    let disk = || DiskProbe::new(std::env::temp_dir());
    let pressure = Pressure::some(PressureWindow::Avg10, 100.0);

    cost(
        "disk (fstatvfs 500, statx 900, and an open, a close, an fstatfs)",
        disk(),
    );
    cost(
        "memory: the machine and this process's groups (/proc/meminfo 8,900, memory.stat 13,000 a group)",
        MemoryProbe::new(),
    );
    cost("memory: this process against a budget", MemoryProbe::process(1 << 40));
    for tree in ["v2_nested", "v1_nested", "v2_unlimited"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/cgroup")
            .join(tree);
        cost(
            &format!("memory: the saved tree {tree}, on a disk"),
            MemoryProbe::new().at_root(root),
        );
    }
    cost(
        "memory and its pressure (as above, pressure 5,900)",
        MemoryProbe::new().pressure(pressure),
    );
    cost(
        "disk and pressure of block devices (as above, pressure 5,900)",
        PressureProbe::new(disk(), pressure.io()),
    );
    let (publisher, published) = Publisher::new();
    publisher.publish(Reading::new(2, 1));
    cost("a published value (an atomic load 2.5)", published);
}

/// Measures many times and tells how long one took.
fn cost(name: &str, mut probe: impl CapacityProbe) {
    const TIMES: usize = 5000;
    const WARM_UP: usize = 100;
    let mut times: Vec<_> = (0..TIMES + WARM_UP)
        .map(|_| {
            let start = Instant::now();
            black_box(probe.measure().expect("measured"));
            start.elapsed().as_nanos()
        })
        .skip(WARM_UP)
        .collect();
    times.sort_unstable();
    println!("{:>9}  {:>9}  {name}", times[TIMES / 2], times[0]);
}
