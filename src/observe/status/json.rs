//! The same for programs.

use serde_json::{Map, Value, json};

use crate::{
    LayerReport, RefusalCounts, ResourceReport,
    observe::{LedgerFigures, Snapshot, TenantRow},
};

pub(super) fn write(snapshot: &Snapshot, shows_tenants: bool) -> String {
    let resources: Vec<_> = snapshot
        .resources
        .iter()
        .map(|(name, report)| resource(name, report))
        .collect();
    let layers: Vec<_> = snapshot
        .layers
        .iter()
        .map(|(name, report)| layer(name, report))
        .collect();
    let mut document = json!({
        "readiness": snapshot.readiness.name(),
        "resources": resources,
        "layers": layers,
    });
    if let (Some(ledger), Some(document)) = (&snapshot.ledger, document.as_object_mut()) {
        let mut tenants = figures(ledger);
        if shows_tenants {
            let fullest = snapshot.fullest_tenants.iter().map(tenant).collect();
            tenants.insert("fullest".to_owned(), Value::Array(fullest));
        }
        document.insert("tenants".to_owned(), tenants.into());
    }
    format!("{document:#}\n")
}

fn resource(name: &str, report: &ResourceReport) -> Value {
    json!({
        "name": name,
        "state": report.state.name(),
        "closed": report.closed,
        "total": report.total,
        "available": report.available,
        "floor": report.floor,
        "headroom": report.headroom,
        "held": report.held,
        "unseen": report.unseen,
        "inodes_available": report.inodes_available,
        "writable": report.writable,
        "measured": report.measured,
        "probe_age_seconds": report.age.as_secs_f64(),
        "probe_failures": report.probe_failures,
        "probe_error": report.error,
    })
}

fn layer(name: &str, report: &LayerReport) -> Value {
    json!({
        "name": name,
        "mode": if report.report_only { "report_only" } else { "enforcing" },
        "admitted": report.admitted,
        "refused": counts(&report.refused),
        "would_be_refused": counts(&report.would_be_refused),
        "late_failures": report.late_failures,
        "lingering": report.lingering,
        "lingered": report.lingered,
        "linger_overflow": report.linger_overflow,
    })
}

fn counts(counts: &RefusalCounts) -> Value {
    let by_reason: Map<_, _> = counts
        .by_reason()
        .map(|(reason, count)| (reason.name().to_owned(), count.into()))
        .collect();
    json!({ "total": counts.total(), "mid_stream": counts.mid_stream(), "by_reason": by_reason })
}

fn figures(ledger: &LedgerFigures) -> Map<String, Value> {
    let figures = [
        ("tracked", Some(ledger.tenants.into())),
        ("leased", ledger.leased.map(Value::from)),
        ("engine_reachable", ledger.engine_reachable.map(Value::from)),
        (
            "engine_latency_seconds",
            ledger.engine_latency.map(|latency| latency.as_secs_f64().into()),
        ),
        ("engine_calls", ledger.engine_calls.map(Value::from)),
        ("engine_failures", ledger.engine_failures.map(Value::from)),
    ];
    figures
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn tenant(row: &TenantRow) -> Value {
    json!({ "name": row.name, "used": row.used, "reserved": row.reserved, "limit": row.limit })
}
