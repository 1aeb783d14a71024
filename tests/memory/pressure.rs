//! Pressure as a second signal, in saved trees.

use tower_storage_guard::{
    CapacityProbe, MemoryProbe, Pressure, PressureProbe, PressureWindow, ProbeError, ProbeErrorKind, Reading,
};

use crate::support::{MIB, Tree, figures};

use PressureWindow::{Avg10, Avg60, Avg300};

fn is_full(tree: &Tree, pressure: Pressure) -> bool {
    let inner = || Ok::<_, ProbeError>(Reading::new(100, 60));
    let mut probe = PressureProbe::new(inner, pressure).at_root(tree.root());
    let reading = probe.measure().expect("sound");
    assert_eq!(reading.total, 100);
    assert!(matches!(reading.available, 0 | 60), "{reading:?}");
    reading.available == 0
}

#[test]
fn nothing_is_available_while_the_share_is_above_the_limit() {
    let tree = Tree::of("v2_nested");
    let with = |limit| figures(&mut tree.probe().pressure(Pressure::some(Avg10, limit))).expect("sound");
    assert_eq!(with(12.4), (64 * MIB, 0), "12.50 %");
    assert_eq!(with(12.5), (64 * MIB, 34 * MIB), "at the limit is not above it");
    assert_eq!(with(100.0), (64 * MIB, 34 * MIB));
}

#[test]
fn any_of_several_counts() {
    let tree = Tree::of("v2_nested");
    let calm = Pressure::some(Avg300, 99.0);
    let mut probe = tree
        .probe()
        .pressure(calm)
        .pressure(Pressure::full(Avg10, 2.9))
        .pressure(calm);
    assert_eq!(figures(&mut probe).expect("sound"), (64 * MIB, 0));
    let process = MemoryProbe::process(1 << 40).at_root("/");
    assert!(
        figures(&mut process.pressure(Pressure::some(Avg10, 100.0)))
            .expect("sound")
            .1
            > 0
    );
}

#[test]
fn each_window_and_kind_has_its_figure() {
    let tree = Tree::of("not_mounted");
    for (pressure, share) in [
        (Pressure::some as fn(_, _) -> _, [12.5, 5.0, 1.0]),
        (Pressure::full, [3.0, 2.0, 0.5]),
        (
            |window, percent| Pressure::some(window, percent).io(),
            [30.0, 20.0, 10.0],
        ),
        (
            |window, percent| Pressure::full(window, percent).io(),
            [25.0, 15.0, 5.0],
        ),
    ] {
        for (window, share) in [Avg10, Avg60, Avg300].into_iter().zip(share) {
            assert!(
                is_full(&tree, pressure(window, share - 0.01)),
                "{:?}",
                pressure(window, share)
            );
            assert!(
                !is_full(&tree, pressure(window, share)),
                "{:?}",
                pressure(window, share)
            );
        }
    }
}

#[test]
fn the_nearest_group_that_has_it_is_asked_and_else_the_machine() {
    let tree = Tree::of("v2_nested");
    let memory = Pressure::some(Avg10, 80.0);
    assert!(!is_full(&tree, memory), "the own group is calm, others are not");
    tree.remove("sys/fs/cgroup/app.slice/upload.service/worker/memory.pressure");
    assert!(is_full(&tree, memory), "the one above has 90 %");
    tree.remove("sys/fs/cgroup/app.slice/upload.service/memory.pressure");
    assert!(is_full(&tree, memory), "the machine has 90 %");
    assert!(is_full(&tree, Pressure::some(Avg10, 29.0).io()), "the service has 30 %");
    assert!(
        is_full(&Tree::of("hybrid"), Pressure::some(Avg10, 54.0)),
        "version 2 beside version 1"
    );
}

#[test]
fn a_kernel_without_it_has_no_pressure() {
    let tree = Tree::of("v2_nested");
    for file in tree.files().iter().filter(|file| file.contains("pressure")) {
        tree.remove(file);
    }
    assert!(!is_full(&tree, Pressure::some(Avg10, 0.0)));
    let mut probe = tree.probe().pressure(Pressure::full(Avg60, 0.0));
    assert_eq!(figures(&mut probe).expect("sound"), (64 * MIB, 34 * MIB));
}

#[test]
fn a_percentage_that_makes_no_sense_is_an_error() {
    for bad in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        for error in [
            MemoryProbe::new().pressure(Pressure::some(Avg10, bad)).measure(),
            PressureProbe::new(MemoryProbe::new(), Pressure::some(Avg10, bad)).measure(),
        ] {
            let error = error.expect_err("out of range");
            assert_eq!(error.kind(), ProbeErrorKind::InvalidSetting);
            assert!(error.to_string().contains("give a percentage from 0 to 100"), "{error}");
        }
    }
}

#[test]
fn a_malformed_file_is_an_error_that_names_it() {
    let tree = Tree::of("not_mounted");
    for (file, pressure) in [
        ("proc/pressure/memory", Pressure::some(Avg10, 10.0)),
        ("proc/pressure/io", Pressure::some(Avg10, 10.0).io()),
    ] {
        tree.write(file, "some avg10=0.00\n");
        let error = tree.probe().pressure(pressure).measure().expect_err("malformed");
        assert_eq!(error.kind(), ProbeErrorKind::Malformed);
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn the_real_files_are_understood() {
    for pressure in [Pressure::some(Avg10, 100.0), Pressure::full(Avg300, 100.0).io()] {
        let mut probe = MemoryProbe::new().pressure(pressure);
        let reading = probe.measure().expect("this kernel's files");
        assert!(
            reading.available > 0,
            "more than all the time is never lost: {reading:?}"
        );
    }
}
