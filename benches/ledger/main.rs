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
    println!(
        "one reservation and its release, one thread, in nanoseconds, and the ledger's cost for that of a bare map"
    );
    println!("that finds a tenant once, or once more for the release (goal: at most 1.5)");
    println!(
        "{:>9}  {:<7}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}",
        "tenants", "asked", "ledger", "once", "twice", "/ once", "/ twice"
    );
    for tenants in [1_000, 100_000, 1_000_000] {
        let lookups = lookups::Lookups::new(tenants);
        for asked in [names::Asked::Zipf, names::Asked::OneHot] {
            let cost = lookups.measure(asked);
            let [ledger, once, twice] = cost.nanoseconds;
            let [_, to_once, to_twice] = cost.ratios;
            println!(
                "{tenants:>9}  {:<7}  {ledger:>7.1}  {once:>7.1}  {twice:>7.1}  {to_once:>7.2}  {to_twice:>7.2}",
                asked.name(),
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
