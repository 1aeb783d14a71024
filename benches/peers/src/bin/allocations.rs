//! Allocations a request, and bytes a tenant.

use std::hint::black_box;

use peers::{
    meter::{Meter, Nothing},
    report::Figures,
    suite::{cases, in_runtime},
    tenants,
};

#[derive(Default)]
struct Allocations(u64);

impl Meter for Allocations {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        self.0 = allocation_counter::measure(work).count_total;
    }
}

fn main() {
    in_runtime(measure);
}

fn measure() {
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
            figures.put(case.name, bench.subject, "allocations", above);
        }
    }
    for tenants in [1_000, 100_000, 1_000_000] {
        let kept = allocation_counter::measure(|| {
            std::mem::forget(black_box(tenants::ledger(tenants)));
        });
        let each = kept.bytes_current as f64 / tenants as f64;
        println!("{each:>9.1} bytes a tenant of {tenants}");
        figures.put("memory", &format!("{tenants} tenants"), "bytes", each);
    }
    figures.save("allocations").expect("figures are kept");
}
