//! Instructions, counted by callgrind: the same on every run of one machine, whatever else it does.

use std::{
    fs,
    io::{self, BufRead},
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    meter::{Callgrind, Nothing},
    report::Figures,
    suite::{cases, in_runtime},
};

/// So many times before it is counted: pools and tables have their size then.
const WARM_UP: usize = 20;
/// Those of the allocator are left out: it has more or less to do by what was freed before, two hundred a request. What is
/// allocated is counted by itself.
pub const WHAT: &str = "instructions";

/// The part that runs under callgrind. Says what it did, in order; callgrind writes down what each took.
/// Of one case or one layer only, if told: `callgrind_annotate` needs that.
pub fn be_counted(case: Option<&str>, subject: Option<&str>) {
    in_runtime(|| count_all(case, subject));
}

fn count_all(only: Option<&str>, subject: Option<&str>) {
    for case in cases().into_iter().filter(|case| !case.only_timed) {
        if only.is_some_and(|only| case.name != only) {
            continue;
        }
        for mut bench in (case.build)() {
            if subject.is_some_and(|subject| bench.subject != subject) {
                continue;
            }
            bench.run(&mut Nothing, WARM_UP.min(case.batch));
            bench.run(&mut Callgrind, case.batch);
            println!("{}\t{}\t{}", case.name, bench.subject, case.batch * case.units);
        }
    }
}

/// Runs this program under callgrind. Tells instructions a request or frame, the bare service's included.
pub fn count(folder: &Path, only: Option<&str>) -> io::Result<Figures> {
    fs::create_dir_all(folder)?;
    let out = folder.join("callgrind");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "callgrind") {
            fs::remove_file(path)?;
        }
    }
    let mut valgrind = Command::new("valgrind")
        .args([
            "-q",
            "--tool=callgrind",
            "--toggle-collect=peers::meter::counted_by_callgrind",
        ])
        .args([
            "--dump-before=peers::meter::counted_by_callgrind",
            "--compress-strings=no",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .arg("be-counted")
        .args(only)
        .stdout(Stdio::piped())
        .spawn()?;
    let told = io::BufReader::new(valgrind.stdout.take().expect("piped"));
    let told: Vec<_> = told.lines().collect::<Result<_, _>>()?;
    if !valgrind.wait()?.success() {
        return Err(io::Error::other("callgrind failed"));
    }
    let mut figures = Figures::default();
    for (at, line) in told.iter().enumerate() {
        let mut fields = line.split('\t');
        let (Some(case), Some(subject), Some(times)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(io::Error::other(format!("not understood: {line}")));
        };
        let times: f64 = times.parse().map_err(io::Error::other)?;
        // What is dumped before the first is nothing, and the last is dumped at the end, without a number.
        let part = if at + 1 == told.len() {
            out.clone()
        } else {
            out.with_extension(format!("{}", at + 2))
        };
        let text = fs::read_to_string(&part)?;
        let total = total_of(&text).ok_or_else(|| io::Error::other(format!("{}: no totals", part.display())))?;
        figures.put(case, subject, WHAT, (total - of_the_allocator(&text)) / times);
    }
    Ok(figures)
}

fn total_of(text: &str) -> Option<f64> {
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok()
}

/// Sums up what functions of the C library's `malloc.c` took themselves: lines of a position and a count, but for those
/// after `calls=`, which tell what a called function took.
fn of_the_allocator(text: &str) -> f64 {
    let (mut file, mut sum, mut is_callee) = ("", 0.0, false);
    for line in text.lines() {
        if let Some(name) = ["fl=", "fi=", "fe="].iter().find_map(|key| line.strip_prefix(key)) {
            file = name;
        } else if line.starts_with("calls=") {
            is_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok());
            if !std::mem::take(&mut is_callee) && file.ends_with("malloc.c") {
                sum += count.unwrap_or(0.0);
            }
        }
    }
    sum
}

/// What each takes beyond the first of its case.
pub fn above_bare(figures: &Figures) -> Figures {
    let mut above = Figures::default();
    let mut bare = ("", 0.0);
    for figure in &figures.0 {
        if figure.case == bare.0 {
            above.put(&figure.case, &figure.subject, &figure.what, figure.value - bare.1);
        } else {
            bare = (&figure.case, figure.value);
        }
    }
    above
}
