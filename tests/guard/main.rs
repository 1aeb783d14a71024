//! What the layer does, with a fake resource: no disk, no sockets, no waiting.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod allocations;
mod answers;
mod axum_positions;
mod classes;
mod closing;
mod default_buffer;
mod endings;
mod essential;
mod failure_policy;
mod inodes;
mod lag;
mod late_answers;
mod late_failure;
mod lifetimes;
mod live_settings;
mod mid_stream;
mod negotiation;
mod one_refusal;
mod refunds;
mod report;
mod report_only;
mod sampling;
mod settings;
mod sharing;
mod stored_elsewhere;
mod support;
mod third_holder;
mod unpinned;
mod user_quota;
#[path = "../support/watched.rs"]
mod watched;
