//! What the page says.

use std::time::Duration;

use super::class;
use crate::{Readiness, Reason, ResourceReport, State, observe::Snapshot};

/// A word and a sentence on everything.
pub(super) fn readiness(snapshot: &Snapshot) -> (&'static str, &'static str) {
    let only_reports = !snapshot.layers.is_empty() && snapshot.layers.iter().all(|(_, layer)| layer.report_only);
    let is_any_full = snapshot
        .resources
        .iter()
        .any(|(_, report)| report.closed && report.measured && report.state == State::Full);
    match snapshot.readiness {
        Readiness::Ready => ("Ready", "Everything that fits is accepted."),
        Readiness::Near => ("Nearly full", "What fits is still accepted. It is time to make room."),
        Readiness::Full if only_reports => (
            "Full",
            "Nothing should be accepted now; only reporting, so it still is.",
        ),
        Readiness::Full if !is_any_full => (
            "Closed",
            "Nothing is accepted now; why is told below. Downloads and deletions work.",
        ),
        Readiness::Full => (
            "Full",
            "Nothing is accepted until there is room again. Downloads and deletions work.",
        ),
    }
}

/// A word on one resource, and its class.
pub(super) fn state(report: &ResourceReport) -> (&'static str, &'static str) {
    match report.state {
        _ if !report.writable => ("read-only", "full"),
        _ if !report.measured => ("not measured", "full"),
        State::Full => ("full", class(State::Full)),
        _ if report.closed => ("closed", "full"),
        State::Near => ("nearly full", class(State::Near)),
        _ => ("ok", class(State::Ok)),
    }
}

pub(super) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::TooLarge => "larger than allowed",
        Reason::ExceedsCapacity => "larger than could ever fit",
        Reason::Space => "no room now",
        Reason::Inodes => "no room for another file",
        Reason::ReadOnly => "read-only",
        Reason::Quota => "quota used up",
        Reason::ExceedsQuota => "larger than the quota",
        Reason::UnknownTenant => "unknown tenant",
        Reason::Unmeasured => "not measured",
        Reason::LengthRequired => "length not told",
    }
}

pub(super) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0 => "just now".to_owned(),
        _ => format!("{} ago", duration(age)),
    }
}

pub(super) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 if duration.as_millis() == 0 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
