//! This crate's layer and what people use in its place, on the same work.
//!
//! `benches/peers/run` runs all of it; `docs/benchmarks.md` tells what came of it.

pub mod frames;
pub mod instructions;
pub mod meter;
pub mod naive;
pub mod plot;
pub mod report;
pub mod stack;
pub mod subjects;
pub mod suite;
pub mod tenants;
pub mod threads;
pub mod work;
