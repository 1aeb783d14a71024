//! The example `soak`, for some seconds: that all it promises holds, and that it notices when it does not.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    env,
    process::{Command, Stdio},
};

use serde_json::Value;

#[test]
fn all_that_is_promised_holds() {
    let Some((code, report)) = soak(&[]) else { return };
    let broken = broken(&report);
    assert!(broken.is_empty(), "{broken:?}: {report:#}");
    assert_eq!(code, Some(0));
    assert_eq!(report["holds"], true);
    // It was not for want of trying.
    assert!(report["requests"].as_u64().unwrap() > 500, "{report:#}");
    for answer in ["200", "201", "204", "404", "413", "507"] {
        assert!(report["answers"][answer].as_u64() > Some(0), "no {answer}: {report:#}");
    }
    let mut disturbances = vec!["settings changed", "the probe hung", "all clients came at once"];
    disturbances.extend(["others wrote within the floor", "others filled the disk"]);
    if report["redis"] == true {
        disturbances.push("Redis was killed and started again");
    }
    for what in disturbances {
        assert!(
            report["disturbances"][what].as_u64() > Some(0),
            "not {what}: {report:#}"
        );
    }
    for reason in ["unmeasured", "exceeds_capacity"] {
        assert!(report["refused"][reason].as_u64() > Some(0), "no {reason}: {report:#}");
    }
}

#[test]
fn what_is_broken_is_noticed() {
    let Some((code, report)) = soak(&["--break", "hold,task,descriptor,memory,content,answer"]) else {
        return;
    };
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["holds"], false);
    let noticed = [
        "each request has one answer",
        "files are what was acknowledged",
        "nothing is held in the end",
        "the headroom is the reading less the floor",
        "no memory stays allocated",
        "no thread, descriptor or task stays",
        "nothing else was out of order",
    ];
    assert_eq!(broken(&report), noticed.map(str::to_owned).into(), "{report:#}");
    for figure in ["tasks", "descriptors", "heap"] {
        let [early, late] = ["early", "late"].map(|mark| report[mark][figure].as_u64().unwrap());
        assert!(late > early, "{figure}: {early}, then {late}");
    }
    assert!(report["late"]["reserved"].as_u64() > Some(0), "{report:#}");
}

fn broken(report: &Value) -> BTreeSet<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let broken = checks.filter(|check| check["holds"] != true);
    broken.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// The exit code and the report.
fn soak(options: &[&str]) -> Option<(Option<i32>, Value)> {
    let test = env::current_exe().expect("this test has a path");
    // From target/debug/deps/test to target/debug/examples/soak.
    let build = test.ancestors().nth(2).expect("cargo put it three levels deep");
    let mut command = Command::new(build.join("examples").join(format!("soak{}", env::consts::EXE_SUFFIX)));
    let output = command
        .args(["--seconds", "8", "--rate", "150", "--json"])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("`cargo test` builds the example, and so does `cargo build --example soak`");
    let (told, flaws) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    if output.status.code() == Some(2) && flaws.contains("no volume") {
        println!("skipped: {}", flaws.trim());
        return None;
    }
    let json = &told[told.find('{').unwrap_or_default()..];
    let report = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {told}{flaws}"));
    Some((output.status.code(), report))
}
