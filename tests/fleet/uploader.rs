//! One client: it uploads, overwrites, deletes and gives up, and remembers what must be there in the end.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    client::{Body, delete, put},
    content::{Content, Dice},
    host::Host,
    site::pause,
};

/// What all clients together have met.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Steps that were done.
    pub(super) steps: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) aborted: AtomicU64,
    /// Refused for the quota.
    pub(super) refused: AtomicU64,
    /// Refused because the ledger was not there.
    pub(super) unknown: AtomicU64,
    /// No answer came.
    pub(super) broken: AtomicU64,
    /// The bytes of uploads under way, and the most that there were at any time.
    under_way: AtomicU64,
    pub(super) most_under_way: AtomicU64,
}

impl Tally {
    fn begin(&self, bytes: u64) {
        let now = self.under_way.fetch_add(bytes, Relaxed) + bytes;
        self.most_under_way.fetch_max(now, Relaxed);
    }

    fn end(&self, bytes: u64) {
        self.under_way.fetch_sub(bytes, Relaxed);
    }
}

/// What may be found under each name: one version, or, where no answer came, one of several; `None` is no file.
pub(super) type Expected = BTreeMap<String, Vec<Option<Content>>>;

pub(super) struct Uploader<'a> {
    pub(super) host: &'a Host,
    pub(super) tally: &'a Tally,
    pub(super) dice: Dice,
    /// What the names begin with.
    pub(super) name: String,
    pub(super) expected: Expected,
}

impl Uploader<'_> {
    pub(super) fn run(mut self, steps: u64) -> Expected {
        for step in 0..steps {
            // What the ledger or the server was not there for is tried again.
            while !self.step(step) {
                pause();
            }
            self.tally.steps.fetch_add(1, Relaxed);
        }
        self.expected
    }

    fn step(&mut self, step: u64) -> bool {
        let own = self.some_file();
        match (self.dice.below(100), own) {
            (0..20, Some(name)) => self.delete(&name),
            (20..35, Some(name)) => self.put(name, Body::Known),
            (35..45, Some(name)) => self.put(name, Body::Chunked),
            (45..50, _) => self.put(format!("{}-{step}", self.name), Body::Unread),
            (50..55, _) => {
                let after = self.dice.below(16 << 10) as usize;
                self.put(format!("{}-{step}", self.name), Body::Aborted(after))
            }
            (55..75, _) => self.put(format!("{}-{step}", self.name), Body::Chunked),
            _ => self.put(format!("{}-{step}", self.name), Body::Known),
        }
    }

    /// One that is there for certain; of an upload without an answer the server may not have heard the last yet.
    fn some_file(&mut self) -> Option<String> {
        let there: Vec<_> = self
            .expected
            .iter()
            .filter(|(_, versions)| matches!(versions[..], [Some(_)]))
            .map(|(name, _)| name)
            .collect();
        let place = self.dice.below(there.len().max(1) as u64) as usize;
        there.get(place).map(|name| (*name).clone())
    }

    fn put(&mut self, name: String, body: Body) -> bool {
        let Some(address) = self.host.address() else {
            return false;
        };
        let content = Content {
            seed: self.dice.roll(),
            size: (16 << 10) + self.dice.below(1 << 20).saturating_sub(16 << 10) as usize,
        };
        let bytes = content.bytes();
        self.tally.begin(content.size as u64);
        let answer = put(address, &name, &bytes, body);
        self.tally.end(content.size as u64);
        if matches!(body, Body::Aborted(_)) {
            // Nothing that was not sent whole is stored.
            self.tally.aborted.fetch_add(1, Relaxed);
            return true;
        }
        let before = || vec![None];
        let Ok(answer) = answer else {
            self.expected.entry(name).or_insert_with(before).push(Some(content));
            if body == Body::Unread {
                self.tally.aborted.fetch_add(1, Relaxed);
                return true;
            }
            self.tally.broken.fetch_add(1, Relaxed);
            return false;
        };
        match answer.status {
            201 | 204 => {
                self.tally.stored.fetch_add(1, Relaxed);
                self.expected.insert(name, vec![Some(content)]);
                true
            }
            507 => {
                self.tally.refused.fetch_add(1, Relaxed);
                // Makes room for others, so that all keep going.
                if self.dice.percent(30) {
                    if let Some(name) = self.some_file() {
                        self.delete(&name);
                    }
                }
                true
            }
            503 => {
                self.tally.unknown.fetch_add(1, Relaxed);
                false
            }
            status => panic!("{name}: status {status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    fn delete(&mut self, name: &str) -> bool {
        let Some(address) = self.host.address() else {
            return false;
        };
        let Ok(answer) = delete(address, name) else {
            self.tally.broken.fetch_add(1, Relaxed);
            self.expected.entry(name.to_owned()).or_default().push(None);
            return false;
        };
        match answer.status {
            204 | 404 => {
                let versions = self.expected.insert(name.to_owned(), vec![None]).unwrap_or_default();
                assert!(answer.status == 204 || versions.contains(&None), "{name} was lost");
                self.tally.deleted.fetch_add(1, Relaxed);
                true
            }
            status => panic!("DELETE {name}: status {status}"),
        }
    }
}
