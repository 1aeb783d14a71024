//! What each tenant has stored and reserved: in memory, and shared by several nodes through a store that fails.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../support/ledger_contract.rs"]
mod ledger_contract;

mod contract;
mod leases;
mod losses;
mod memory;
mod names;
mod policies;
mod simulation;
