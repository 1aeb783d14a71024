//! The ledger's file: what it answers, what it keeps, and what it says when it cannot.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod as_the_record_says;
mod refused;
mod support;
