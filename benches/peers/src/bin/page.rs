//! Draws the plots and fills the tables of `docs/benchmarks.md` from the figures of the last run.

use std::{collections::BTreeMap, fs, io, path::Path, process::Command};

use peers::{
    instructions::{WHAT, above_bare},
    plot::{Bar, plot},
    report::Figures,
    subjects::*,
    suite::*,
    threads::THREADS,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");
const PLOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks");

struct Run {
    instructions: Figures,
    above: Figures,
    time: Figures,
    allocations: Figures,
    loopback: Figures,
}

fn main() -> io::Result<()> {
    let instructions = Figures::load("instructions");
    let run = Run {
        above: above_bare(&instructions),
        instructions,
        time: Figures::load("time"),
        allocations: Figures::load("allocations"),
        loopback: Figures::load("loopback"),
    };
    let mut blocks = BTreeMap::new();
    blocks.insert("machine", machine());
    for (name, case) in [
        ("known", KNOWN),
        ("boxed", BOXED),
        ("axum-bodies", AXUM_BODIES),
        ("unknown", UNKNOWN),
        ("exempt", EXEMPT),
        ("refused", REFUSED),
        ("frame-known", FRAMES_KNOWN),
        ("frame-unknown", FRAMES_UNKNOWN),
        ("stack", STACK),
        ("in-router", IN_ROUTER),
    ] {
        blocks.insert(name, run.table(case));
    }
    blocks.insert("tenants", run.tenants());
    blocks.insert("threads", run.threads());
    blocks.insert("loopback", run.loopback());

    fs::create_dir_all(PLOTS)?;
    for (name, title, cases) in [
        (
            "admitted",
            "instructions above the bare service, a request that is admitted",
            &[KNOWN, UNKNOWN, EXEMPT][..],
        ),
        (
            "refused",
            "instructions above a service that only says no",
            &[REFUSED][..],
        ),
        (
            "stack",
            "instructions above hyper and axum alone, 1 KiB by POST",
            &[STACK, IN_ROUTER][..],
        ),
    ] {
        fs::write(
            Path::new(PLOTS).join(name).with_extension("svg"),
            plot(title, &run.bars(cases)),
        )?;
    }
    let naive: Vec<_> = [GUARD, LIMIT, GOVERNOR, STATVFS, SYSINFO]
        .into_iter()
        .filter_map(|subject| run.bar(&run.time, AXUM_BODIES, subject, "above"))
        .collect();
    let naive_plot = plot(
        "times what RequestBodyLimit takes, on axum's bodies (a logarithmic scale)",
        &relative(&naive),
    );
    fs::write(Path::new(PLOTS).join("naive.svg"), naive_plot)?;

    let page = fs::read_to_string(PAGE)?;
    fs::write(PAGE, filled(&page, &blocks))
}

fn relative(bars: &[Bar]) -> Vec<Bar> {
    let limit = bars.iter().find(|bar| bar.label == LIMIT).map_or(1.0, |bar| bar.value);
    let over = |bar: &Bar| Bar {
        value: bar.value / limit,
        is_logarithmic: true,
        ..bar.clone()
    };
    bars.iter().map(over).collect()
}

impl Run {
    fn subjects(&self, case: &str) -> Vec<&str> {
        let figures = self.instructions.0.iter().filter(|figure| figure.case == case);
        figures.map(|figure| figure.subject.as_str()).collect()
    }

    fn bar(&self, figures: &Figures, case: &str, subject: &str, what: &str) -> Option<Bar> {
        Some(Bar {
            group: case.to_owned(),
            label: subject.to_owned(),
            value: figures.get(case, subject, what)?,
            is_ours: subject.starts_with(GUARD),
            is_logarithmic: false,
        })
    }

    fn bars(&self, cases: &[&str]) -> Vec<Bar> {
        let subjects = cases
            .iter()
            .flat_map(|case| self.subjects(case).into_iter().map(move |subject| (*case, subject)));
        subjects
            .filter_map(|(case, subject)| self.bar(&self.above, case, subject, WHAT))
            .collect()
    }

    fn table(&self, case: &str) -> String {
        let mut text =
            "| | instructions above bare | × RequestBodyLimit | time above bare, × RequestBodyLimit | allocations |\n\
             |---|---:|---:|---:|---:|\n"
                .to_owned();
        let limit = self.above.get(case, LIMIT, WHAT);
        let limit_time = self.time.get(case, LIMIT, "above");
        for subject in self.subjects(case).into_iter().skip(1) {
            let above = self.above.get(case, subject, WHAT);
            let time = self.time.get(case, subject, "above");
            let ratio = |value: Option<f64>, limit: Option<f64>| match (value, limit) {
                (Some(value), Some(limit)) if limit > 0.0 => format!("{:.2}", value / limit),
                _ => String::new(),
            };
            text += &format!(
                "| {subject} | {} | {} | {} | {} |\n",
                above.map_or_else(String::new, |above| if above.abs() < 100.0 {
                    format!("{above:.1}")
                } else {
                    format!("{above:.0}")
                }),
                ratio(above, limit),
                ratio(time, limit_time),
                self.allocations
                    .get(case, subject, "allocations")
                    .map_or_else(String::new, |count| format!("{count:.0}")),
            );
        }
        text
    }

    fn tenants(&self) -> String {
        let mut text =
            "| tenants | instructions | nanoseconds, median (quartiles) | bytes a tenant |\n|---|---:|---:|---:|\n"
                .to_owned();
        for (case, tenants) in TENANTS
            .iter()
            .zip(["", "1000 tenants", "100000 tenants", "1000000 tenants"])
        {
            let time = |what| self.time.get(case, THREE, what).unwrap_or(f64::NAN);
            text += &format!(
                "| {case} | {} | {:.0} ({:.0} to {:.0}) | {} |\n",
                self.above
                    .get(case, THREE, WHAT)
                    .map_or_else(String::new, |above| format!("{above:.0}")),
                time("above"),
                time("above q1"),
                time("above q3"),
                self.allocations
                    .get("memory", tenants, "bytes")
                    .map_or_else(String::new, |bytes| format!("{bytes:.0}")),
            );
        }
        text
    }

    fn threads(&self) -> String {
        let mut text = "| | two threads, × one |\n|---|---:|\n".to_owned();
        for subject in [BARE, GUARD, SHED] {
            if let Some(ratio) = self.time.get(THREADS, subject, "ratio") {
                text += &format!("| {subject} | {ratio:.2} |\n");
            }
        }
        text
    }

    fn loopback(&self) -> String {
        let mut text = "| | requests a second, × bare: median (quartiles) |\n|---|---:|\n".to_owned();
        for figure in self
            .loopback
            .0
            .iter()
            .filter(|figure| figure.what == "ratio" && figure.subject != BARE)
        {
            let at = |what| self.loopback.get("loopback", &figure.subject, what).unwrap_or(f64::NAN);
            text += &format!(
                "| {} | {:.2} ({:.2} to {:.2}) |\n",
                figure.subject,
                figure.value,
                at("q1"),
                at("q3")
            );
        }
        text
    }
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    format!(
        "{model}, {cores} cores that are shared with others, {}, {rustc}, `codegen-units = 1`.\n",
        std::env::consts::OS
    )
}

/// Replaces what stands between `<!-- NAME -->` and `<!-- end -->`.
fn filled(page: &str, blocks: &BTreeMap<&str, String>) -> String {
    let mut text = String::new();
    let mut is_old = false;
    for line in page.lines() {
        let name = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        match name {
            Some("end") => is_old = false,
            Some(name) if blocks.contains_key(name) => {
                text += &format!("{line}\n\n{}\n", blocks[name]);
                is_old = true;
                continue;
            }
            _ => {}
        }
        if !is_old {
            text += line;
            text += "\n";
        }
    }
    text
}
