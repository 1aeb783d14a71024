//! Counts instructions. `--check` compares them with the baseline, `--renew` makes a new one, a case's name counts that
//! case only.

use std::{env, fs, path::Path, process::ExitCode};

use peers::{
    instructions::{WHAT, above_bare, be_counted, count},
    report::{Figures, folder},
};

/// Compilers differ a little: so much more is no complaint.
const TOLERANCE: f64 = 1.05;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.tsv");

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let first = arguments.first().map(String::as_str);
    if first == Some("be-counted") {
        be_counted(
            arguments.get(1).map(String::as_str),
            arguments.get(2).map(String::as_str),
        );
        return ExitCode::SUCCESS;
    }
    let only = first.filter(|argument| !argument.starts_with("--"));
    let figures = match count(&folder().join("callgrind"), only) {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("instructions cannot be counted: {error}");
            return ExitCode::FAILURE;
        }
    };
    let above = above_bare(&figures);
    for figure in &figures.0 {
        let more = above.get(&figure.case, &figure.subject, WHAT);
        let more = more.map_or_else(String::new, |more| format!("{more:+.1}"));
        println!(
            "{:>9.1} {more:>10}  {:36} {}",
            figure.value, figure.case, figure.subject
        );
    }
    match first {
        Some("--check") => compare(&figures, Path::new(BASELINE)),
        Some("--renew") => {
            let text = format!(
                "# Instructions outside the allocator, the service's own included, by callgrind. Renewed by \
                 `benches/peers/run renew`.\n{}",
                figures.to_text()
            );
            fs::write(BASELINE, text).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Some(_) => ExitCode::SUCCESS,
        None => figures
            .save("instructions")
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
    }
}

/// Only of this crate: what others take is theirs.
fn compare(figures: &Figures, baseline: &Path) -> ExitCode {
    let baseline = Figures::parse(&fs::read_to_string(baseline).unwrap_or_default());
    let mut is_worse = baseline.0.is_empty();
    for before in baseline
        .0
        .iter()
        .filter(|figure| figure.subject.starts_with("storage-guard"))
    {
        let Some(now) = figures.get(&before.case, &before.subject, WHAT) else {
            println!("gone: {}, {}", before.case, before.subject);
            is_worse = true;
            continue;
        };
        // Some instructions are a few more or less in what surrounds the layer.
        if now > before.value * TOLERANCE + 30.0 {
            println!(
                "more: {}, {}: {:.1}, before {:.1}",
                before.case, before.subject, now, before.value
            );
            is_worse = true;
        } else if now < before.value / TOLERANCE - 30.0 {
            println!(
                "less: {}, {}: {:.1}, before {:.1}",
                before.case, before.subject, now, before.value
            );
        }
    }
    if is_worse {
        println!("if that is meant: benches/peers/run renew");
        return ExitCode::FAILURE;
    }
    println!("no more instructions than before");
    ExitCode::SUCCESS
}
