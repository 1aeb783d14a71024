use std::{collections::BTreeMap, sync::Arc, time::Duration};

use redis::Value;

use super::wire::text;
use crate::tenant::{NodeRecord, Record};

/// Reads a record as the script writes it; `Ok(None)` if there is none. The error says what is not as it was put there.
pub(super) fn read(fields: &[Value]) -> Result<Option<Record>, &'static str> {
    let mut known = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for field in fields.chunks(2) {
        let [name, value] = field else { return Err("a field") };
        let (name, value) = text(name).zip(text(value)).ok_or("a field")?;
        match name.strip_prefix("node:") {
            Some(node) => drop(nodes.insert(Arc::from(node), read_node(value).ok_or("the line of a node")?)),
            None => drop(known.insert(name, value)),
        }
    }
    // A limit may be set when nothing is known yet of what is stored.
    known.remove("limit");
    if known.is_empty() && nodes.is_empty() {
        return Ok(None);
    }
    let known = |name| known.get(name).copied();
    let number = |name| known(name).and_then(|value| value.parse::<i64>().ok());
    Ok(Some(Record {
        epoch: known("epoch").and_then(|epoch| epoch.parse().ok()).ok_or("the epoch")?,
        measured: known("measured") == Some("1"),
        base: number("base").ok_or("the base")?,
        quiet_until: number("quiet_until")
            .and_then(|micros| u64::try_from(micros).ok())
            .map(Duration::from_micros)
            .ok_or("the end of the quiet time")?,
        nodes,
    }))
}

fn read_node(line: &str) -> Option<NodeRecord> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    Some(NodeRecord {
        incarnation: word()?.parse().ok()?,
        sequence: word()?.parse().ok()?,
        share: word()?.parse().ok()?,
        hold: word()?.parse().ok()?,
        expires: Duration::from_micros(word()?.parse().ok()?),
        gone: word()? == "1",
    })
}
