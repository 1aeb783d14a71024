//! The one list of metrics: what the Prometheus text, the facade and the documentation call them.

use super::{Readiness, Snapshot};
use crate::State;

/// One metric with all its samples.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Amount(f64),
}

/// All figures of a snapshot, except those that name a tenant. What is unknown has no sample.
pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families = Families {
        snapshot,
        list: Vec::new(),
    };
    families.one("storage_guard_readiness", GAUGE, READINESS, {
        Some(Value::Amount(match snapshot.readiness {
            Readiness::Ready => 0.0,
            Readiness::Near => 1.0,
            Readiness::Full => 2.0,
        }))
    });
    families.resources();
    families.layers();
    families.tenants();
    families.list.retain(|family| !family.samples.is_empty());
    families.list
}

const GAUGE: Kind = Kind::Gauge;
const COUNTER: Kind = Kind::Counter;
const READINESS: &str = "Worst of all resources: 0 ready, 1 near, 2 full.";

struct Families<'a> {
    snapshot: &'a Snapshot,
    list: Vec<Family>,
}

impl Families<'_> {
    fn resources(&mut self) {
        use Value::{Amount, Count};
        let known = |bytes: u64| (bytes < u64::MAX).then_some(Count(bytes));
        self.each_resource(
            "storage_guard_state",
            GAUGE,
            "State of the resource: 0 ok, 1 near, 2 full.",
            |report| {
                Some(Amount(match report.state {
                    State::Ok => 0.0,
                    State::Near => 1.0,
                    _ => 2.0,
                }))
            },
        );
        self.each_resource(
            "storage_guard_closed",
            GAUGE,
            "1 while the resource refuses everything, whatever its size.",
            |report| Some(flag(report.closed)),
        );
        self.each_resource(
            "storage_guard_total_bytes",
            GAUGE,
            "All that could ever be stored.",
            |report| known(report.total),
        );
        self.each_resource(
            "storage_guard_available_bytes",
            GAUGE,
            "What was free at the last reading.",
            |report| known(report.available),
        );
        self.each_resource("storage_guard_floor_bytes", GAUGE, "What must stay free.", |report| {
            known(report.floor)
        });
        self.each_resource(
            "storage_guard_headroom_bytes",
            GAUGE,
            "What may still be admitted; negative below the floor.",
            |report| Some(Amount(report.headroom as f64)),
        );
        self.each_resource(
            "storage_guard_held_bytes",
            GAUGE,
            "What requests under way hold.",
            |report| Some(Count(report.held)),
        );
        self.each_resource(
            "storage_guard_unseen_bytes",
            GAUGE,
            "What finished requests hold until a reading shows it.",
            |report| Some(Count(report.unseen)),
        );
        self.each_resource(
            "storage_guard_inodes_available",
            GAUGE,
            "Inodes that are free, where there is a limit of them.",
            |report| report.inodes_available.map(Count),
        );
        self.each_resource(
            "storage_guard_writable",
            GAUGE,
            "1 while the resource can be written to.",
            |report| Some(flag(report.writable)),
        );
        self.each_resource(
            "storage_guard_probe_age_seconds",
            GAUGE,
            "How old the last good reading is.",
            |report| Some(Amount(report.age.as_secs_f64())),
        );
        self.each_resource(
            "storage_guard_probe_up",
            GAUGE,
            "1 while requests are decided by readings, 0 while by the failure policy.",
            |report| Some(flag(report.measured)),
        );
        self.each_resource(
            "storage_guard_probe_failures_total",
            COUNTER,
            "Measurements that failed.",
            |report| Some(Count(report.probe_failures)),
        );
    }

    fn layers(&mut self) {
        use Value::Count;
        self.each_layer(
            "storage_guard_report_only",
            GAUGE,
            "1 while refusals are only counted and told.",
            |layer| vec![(vec![], flag(layer.report_only))],
        );
        self.each_layer(
            "storage_guard_admitted_total",
            COUNTER,
            "Requests that were admitted.",
            |layer| vec![(vec![], Count(layer.admitted))],
        );
        self.each_layer(
            "storage_guard_refused_total",
            COUNTER,
            "Requests that were refused, or with enforced=\"false\" would have been.",
            |layer| {
                let both = [(true, &layer.refused), (false, &layer.would_be_refused)];
                both.iter()
                    .flat_map(|(enforced, counts)| {
                        counts.by_reason().map(|(reason, count)| {
                            let labels = vec![("reason", reason.name().to_owned()), ("enforced", enforced.to_string())];
                            (labels, Count(count))
                        })
                    })
                    .collect()
            },
        );
        self.each_layer(
            "storage_guard_mid_stream_refused_total",
            COUNTER,
            "Those of the refused that had been admitted before.",
            |layer| {
                [(true, &layer.refused), (false, &layer.would_be_refused)]
                    .map(|(enforced, counts)| (vec![("enforced", enforced.to_string())], Count(counts.mid_stream())))
                    .to_vec()
            },
        );
        self.each_layer(
            "storage_guard_late_failures_total",
            COUNTER,
            "Admitted requests that met a storage which said itself that it is full.",
            |layer| vec![(vec![], Count(layer.late_failures))],
        );
        self.each_layer(
            "storage_guard_lingering",
            GAUGE,
            "Connections of refused requests that are kept for a moment now.",
            |layer| vec![(vec![], Count(layer.lingering as u64))],
        );
        self.each_layer(
            "storage_guard_lingered_total",
            COUNTER,
            "Connections that were kept for a moment.",
            |layer| vec![(vec![], Count(layer.lingered))],
        );
        self.each_layer(
            "storage_guard_linger_overflow_total",
            COUNTER,
            "Connections that were closed at once because too many were kept.",
            |layer| vec![(vec![], Count(layer.linger_overflow))],
        );
    }

    fn tenants(&mut self) {
        use Value::{Amount, Count};
        let ledger = self.snapshot.ledger;
        let of = |figure: &dyn Fn(super::LedgerFigures) -> Option<Value>| ledger.and_then(figure);
        let figures = [
            (
                "storage_guard_tenants",
                GAUGE,
                "Tenants that the ledger keeps track of.",
                of(&|ledger| Some(Count(ledger.tenants))),
            ),
            (
                "storage_guard_leased_bytes",
                GAUGE,
                "What this process has leased, of all tenants.",
                of(&|ledger| ledger.leased.map(Count)),
            ),
            (
                "storage_guard_engine_up",
                GAUGE,
                "1 while the engine behind the ledger answers.",
                of(&|ledger| ledger.engine_reachable.map(flag)),
            ),
            (
                "storage_guard_engine_latency_seconds",
                GAUGE,
                "How long the engine's last answer took.",
                of(&|ledger| ledger.engine_latency.map(|latency| Amount(latency.as_secs_f64()))),
            ),
            (
                "storage_guard_engine_calls_total",
                COUNTER,
                "Calls of the engine behind the ledger.",
                of(&|ledger| ledger.engine_calls.map(Count)),
            ),
            (
                "storage_guard_engine_failures_total",
                COUNTER,
                "Calls of the engine that failed.",
                of(&|ledger| ledger.engine_failures.map(Count)),
            ),
        ];
        for (name, kind, help, value) in figures {
            self.one(name, kind, help, value);
        }
    }

    fn one(&mut self, name: &'static str, kind: Kind, help: &'static str, value: Option<Value>) {
        let samples = value.into_iter().map(|value| Sample {
            labels: Vec::new(),
            value,
        });
        self.list.push(Family {
            name,
            kind,
            help,
            samples: samples.collect(),
        });
    }

    fn each_resource(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Fn(&crate::ResourceReport) -> Option<Value>,
    ) {
        let samples = self.snapshot.resources.iter().filter_map(|(resource, report)| {
            Some(Sample {
                labels: vec![("resource", resource.clone())],
                value: value(report)?,
            })
        });
        self.list.push(Family {
            name,
            kind,
            help,
            samples: samples.collect(),
        });
    }

    fn each_layer(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        values: impl Fn(&crate::LayerReport) -> Vec<(Vec<(&'static str, String)>, Value)>,
    ) {
        let samples = self.snapshot.layers.iter().flat_map(|(layer, report)| {
            values(report).into_iter().map(|(mut labels, value)| {
                labels.insert(0, ("layer", layer.clone()));
                Sample { labels, value }
            })
        });
        self.list.push(Family {
            name,
            kind,
            help,
            samples: samples.collect(),
        });
    }
}

fn flag(is_so: bool) -> Value {
    Value::Amount(f64::from(u8::from(is_so)))
}
