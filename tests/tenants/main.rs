//! Requests on the accounts of tenants.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod allocations;
mod counting;
mod growing_hints;
mod keys;
mod mid_stream;
mod refusals;
mod report_only;
mod support;
mod waiting;
