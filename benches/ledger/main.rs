//! What a ledger costs: against a bare map, in memory, and over a file and over Redis.
//! `cargo bench --bench ledger --features redb,redis`
//!
//! Figures that are compared are measured in turns, so that a busy machine slows both down. Needs `redis-server` for the
//! lines of Redis, and starts one of its own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod admissions;
mod bare_map;
mod engine;
mod lookups;
mod memory;
mod names;

fn main() {
    println!("one reservation and its release, one thread (goal: at most 1.5 times the bare map)");
    println!(
        "{:>9}  {:<8}  {:>9}  {:>9}  {:>6}",
        "tenants", "asked", "ledger ns", "bare ns", "ratio"
    );
    for tenants in [1_000, 100_000, 1_000_000] {
        let ratios = lookups::Lookups::new(tenants);
        for asked in [names::Asked::Zipf, names::Asked::OneHot] {
            let cost = ratios.measure(asked);
            println!(
                "{tenants:>9}  {:<8}  {:>9.1}  {:>9.1}  {:>6.2}",
                asked.name(),
                cost.ledger,
                cost.bare,
                cost.ratio
            );
        }
    }

    println!("\nbytes a tenant (goal: at most 160, better 135)");
    println!("{:>9}  {:>9}  {:>13}", "tenants", "in memory", "out of leases");
    for tenants in [100_000, 1_000_000] {
        println!(
            "{tenants:>9}  {:>9.1}  {:>13.1}",
            memory::in_memory(tenants),
            memory::with_leases(tenants)
        );
    }

    println!("\nadmissions of 1 MiB by 64 requesters (goal: leases at least 20 times exact)");
    admissions::table();
}
