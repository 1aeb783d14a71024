//! Files that cannot be read or understood: an error that names the file, never a panic or a guess.

use std::fs::File;

use tower_storage_guard::{CapacityProbe, MemoryProbe, Pressure, PressureWindow, ProbeErrorKind};

use crate::support::{Child, Tree, child};

/// Files that nobody asks for in these trees.
fn is_read(tree: &str, file: &str) -> bool {
    match tree {
        // The own group has pressure; the root has no limit.
        "v2_nested" => {
            let unread = [
                "proc/pressure/memory",
                "sys/fs/cgroup/app.slice/upload.service/memory.pressure",
                "sys/fs/cgroup/app.slice/upload.service/io.pressure",
                "sys/fs/cgroup/memory.stat",
                "sys/fs/cgroup/cgroup.controllers",
                // Without a limit nothing else of the group matters.
                "sys/fs/cgroup/app.slice/upload.service/worker/memory.stat",
                "sys/fs/cgroup/app.slice/upload.service/worker/memory.current",
            ];
            !unread.contains(&file)
        }
        "v1_nested" => {
            // Nobody asks the own group about groups below it.
            let unread = ["job/worker/memory.use_hierarchy", "memory/memory.usage_in_bytes"];
            !unread.iter().any(|end| file.ends_with(end))
        }
        _ => unreachable!("{tree}"),
    }
}

#[test]
fn every_file_is_named_when_it_is_malformed_or_unreadable() {
    for name in ["v2_nested", "v1_nested"] {
        let files: Vec<_> = Tree::of(name)
            .files()
            .into_iter()
            .filter(|file| is_read(name, file))
            .collect();
        assert!(files.len() >= 8, "{files:?}");
        for file in files {
            for content in [&b"nonsense\n"[..], b"-1", b"\xff\xfe\0", b"inactive_file 12x\n", b"0:"] {
                let tree = Tree::of(name);
                tree.write(&file, content);
                expect(&tree, &file, ProbeErrorKind::Malformed);
            }
            let tree = Tree::of(name);
            tree.make_unreadable(&file);
            expect(&tree, &file, ProbeErrorKind::Io);
        }
    }
}

#[test]
fn every_other_file_may_hold_anything() {
    for name in ["v2_nested", "v1_nested"] {
        let sound = Tree::of(name).measure().expect("sound");
        for file in Tree::of(name).files().into_iter().filter(|file| !is_read(name, file)) {
            let tree = Tree::of(name);
            tree.write(&file, b"nonsense\n");
            assert_eq!(tree.measure().expect("not read"), sound, "{file}");
        }
    }
}

#[test]
fn an_empty_file_is_malformed_where_a_figure_belongs() {
    for file in ["memory.max", "memory.high", "memory.current", "memory.stat"] {
        let tree = Tree::of("v2_high");
        let file = format!("sys/fs/cgroup/job/{file}");
        tree.write(&file, b"");
        expect(&tree, &file, ProbeErrorKind::Malformed);
    }
}

#[test]
fn a_limit_without_a_usage_is_an_error() {
    for (name, file) in [
        ("v2_high", "sys/fs/cgroup/job/memory.current"),
        ("v1_nested", "sys/fs/cgroup/memory/job/memory.usage_in_bytes"),
        ("v1_nested", "sys/fs/cgroup/memory/job/memory.limit_in_bytes"),
        ("v1_nested", "proc/self/mountinfo"),
    ] {
        let tree = Tree::of(name);
        tree.remove(file);
        expect(&tree, file, ProbeErrorKind::NotFound);
    }
}

#[test]
fn a_process_without_file_descriptors_is_told_so_and_not_old_figures() {
    let child = Child::spawn(
        &["sh", "-c", r#"ulimit -n 64 && exec "$@""#, "sh"],
        "malformed::exhausted",
        "go",
    );
    let (status, told) = child.finish();
    assert!(status.success(), "{status}: {told}");
}

/// Runs with few file descriptors.
#[test]
#[ignore = "a process of its own, which other tests start"]
fn exhausted() {
    if child::task().is_none() {
        return;
    }
    let mut probes = [MemoryProbe::new(), MemoryProbe::process(1 << 40)];
    for probe in &mut probes {
        probe.measure().expect("all is well");
    }
    let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for probe in &mut probes {
        let error = probe.measure().expect_err("nothing can be opened");
        assert_eq!(error.kind(), ProbeErrorKind::Io);
        assert!(error.to_string().contains("/proc/self/"), "{error}");
    }
    drop(files);
    for probe in &mut probes {
        probe.measure().expect("all is well again");
    }
}

fn expect(tree: &Tree, file: &str, kind: ProbeErrorKind) {
    let mut probe = tree.probe().pressure(Pressure::some(PressureWindow::Avg10, 99.0));
    let error = probe.measure().expect_err(file);
    assert_eq!(error.kind(), kind, "{file}: {error}");
    assert!(error.to_string().contains(file), "{file}: {error}");
}
