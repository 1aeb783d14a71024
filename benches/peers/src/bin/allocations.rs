//! Allocations a request, and bytes a tenant. `--check` only sees whether a request has more than it may.

use std::{hint::black_box, process::ExitCode};

use peers::{
    meter::{Meter, Nothing},
    report::Figures,
    subjects::LIMIT,
    suite::{IN_ROUTER, REFUSED, cases, in_runtime},
    tenants,
};

#[derive(Default)]
struct Allocations(u64);

impl Meter for Allocations {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        self.0 = allocation_counter::measure(work).count_total;
    }
}

fn main() -> ExitCode {
    let only_checks = std::env::args().nth(1).is_some_and(|argument| argument == "--check");
    in_runtime(|| {
        let mut figures = requests();
        if only_checks {
            return check(&figures);
        }
        tenants(&mut figures);
        figures.save("allocations").expect("figures are kept");
        ExitCode::SUCCESS
    })
}

const WHAT: &str = "allocations";

fn requests() -> Figures {
    let mut figures = Figures::default();
    for case in cases().into_iter().filter(|case| !case.only_timed) {
        let mut bare = None;
        for mut bench in (case.build)() {
            bench.run(&mut Nothing, case.batch);
            let mut counted = Allocations::default();
            bench.run(&mut counted, case.batch);
            // A request, also where frames are what is counted.
            let count = counted.0 as f64 / case.batch as f64;
            let above = count - *bare.get_or_insert(count);
            println!("{count:>9.2} {above:>+9.2}  {:36} {}", case.name, bench.subject);
            figures.put(case.name, bench.subject, WHAT, above);
        }
    }
    figures
}

/// An admitted or exempt request none, in a whole server neither; a refused one three. In a router what any layer has there
/// that changes the bodies' types.
fn check(figures: &Figures) -> ExitCode {
    let mut seen = 0;
    let mut too_many = 0;
    for figure in &figures.0 {
        if !figure.subject.starts_with("storage-guard") {
            continue;
        }
        let most = match figure.case.as_str() {
            REFUSED => 3.0,
            IN_ROUTER => figures.get(IN_ROUTER, LIMIT, WHAT).expect("measured"),
            _ => 0.0,
        };
        seen += 1;
        if figure.value > most {
            println!(
                "more than {most}: {}, {}: {}",
                figure.case, figure.subject, figure.value
            );
            too_many += 1;
        }
    }
    if too_many > 0 || seen < 15 {
        return ExitCode::FAILURE;
    }
    println!("no allocation more than there may be, in {seen} cases");
    ExitCode::SUCCESS
}

fn tenants(figures: &mut Figures) {
    for tenants in [1_000, 100_000, 1_000_000] {
        let kept = allocation_counter::measure(|| {
            std::mem::forget(black_box(tenants::ledger(tenants)));
        });
        let each = kept.bytes_current as f64 / tenants as f64;
        println!("{each:>9.1} bytes a tenant of {tenants}");
        figures.put("memory", &format!("{tenants} tenants"), "bytes", each);
    }
}
