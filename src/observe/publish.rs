use metrics::Label;

use super::{
    Snapshot,
    figures::{Kind, Value, families},
};

/// Hands all figures to whatever recorder is installed.
pub(super) fn publish(snapshot: &Snapshot) {
    for family in families(snapshot) {
        // Every time: a recorder may be installed later, and describing is cheap once a second.
        match family.kind {
            Kind::Gauge => metrics::describe_gauge!(family.name, family.help),
            Kind::Counter => metrics::describe_counter!(family.name, family.help),
        }
        for sample in family.samples {
            let labels: Vec<_> = sample
                .labels
                .into_iter()
                .map(|(name, value)| Label::new(name, value))
                .collect();
            match (family.kind, sample.value) {
                (Kind::Counter, Value::Count(count)) => metrics::counter!(family.name, labels).absolute(count),
                (_, Value::Count(count)) => metrics::gauge!(family.name, labels).set(count as f64),
                (_, Value::Amount(amount)) => metrics::gauge!(family.name, labels).set(amount),
            }
        }
    }
}
