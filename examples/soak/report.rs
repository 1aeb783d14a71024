//! What happened, and whether what is promised held.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tower_storage_guard::{LayerReport, format_size};

use crate::{marks::Mark, options::Options, tally::Tally};

pub(crate) struct Report {
    pub(crate) options: Options,
    pub(crate) took: Duration,
    pub(crate) has_redis: bool,
    pub(crate) disturbances: Vec<(&'static str, u64)>,
    pub(crate) guard: LayerReport,
    /// After the first round, and how many requests there had been.
    pub(crate) early: Mark,
    pub(crate) early_requests: u64,
    pub(crate) late: Mark,
    pub(crate) stored: Stored,
    pub(crate) tally: Arc<Tally>,
}

/// What was on the disk in the end.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) charged: u64,
    pub(crate) wrong: Vec<String>,
    pub(crate) charged_wrongly: Vec<String>,
}

/// One promise.
struct Check {
    name: &'static str,
    holds: bool,
    detail: String,
}

/// What may be allocated more in the end: tables grow at first, those of the clients too.
const TABLES: u64 = 128 << 10;

/// The same as the system sees it. The allocator keeps pieces of what it once had.
const PIECES: u64 = 16 << 20;

/// So many clients, and one in a hundred of those refused, may find the connection closed before they have read why: when
/// too many are kept already, or when they are so slow, since on a machine that has other things to do a second may be short.
const SLOW: u64 = 5;

impl Report {
    pub(crate) fn holds(&self) -> bool {
        self.checks().iter().all(|check| check.holds)
    }

    fn checks(&self) -> Vec<Check> {
        vec![
            self.one_answer(),
            self.enough_room(),
            self.byte_exact(),
            self.charged_exactly(),
            self.nothing_is_held(),
            self.headroom(),
            self.nothing_stays_allocated(),
            self.nothing_else_stays(),
            self.no_complaints(),
        ]
    }

    fn one_answer(&self) -> Check {
        let (clients, server) = (&self.tally.clients, &self.tally.server);
        let counters = [
            &clients.sent,
            &clients.answered,
            &clients.cut,
            &clients.unread,
            &clients.lost,
        ];
        let [sent, answered, cut, unread, lost] = counters.map(|counter| counter.load(SeqCst));
        let [entered, replied, given_up] =
            [&server.entered, &server.answered, &server.given_up].map(|n| n.load(SeqCst));
        Check {
            name: "each request has one answer",
            holds: lost == 0
                && unread <= SLOW + self.guard.refused.total() / 100
                && sent == answered + cut + unread
                && entered == replied + given_up
                && answered <= replied,
            detail: format!(
                "of {sent} sent {answered} answered, {cut} cut off by the client, {lost} lost, \
                 {unread} refused and closed before the client had read it; \
                 of {entered} received {replied} answered, {given_up} given up with their clients"
            ),
        }
    }

    /// What others write between two readings is the floor's to cover. Up to that no handler may find the disk full; when
    /// they write more, those may that had come before a reading could show it, and nobody else.
    fn enough_room(&self) -> Check {
        let (all, outside) = self.tally.storage_full_so_far();
        Check {
            name: "handlers find the disk full only when others fill it faster than the floor covers",
            holds: outside == 0,
            detail: format!(
                "{all} did while others filled it at once and before a reading had shown that, {outside} at other times"
            ),
        }
    }

    fn byte_exact(&self) -> Check {
        let Stored {
            files, bytes, wrong, ..
        } = &self.stored;
        Check {
            name: "files are what was acknowledged",
            holds: wrong.is_empty(),
            detail: format!(
                "{files} files, {}, {} wrong{}",
                format_size(*bytes),
                wrong.len(),
                first(wrong)
            ),
        }
    }

    fn charged_exactly(&self) -> Check {
        let wrong = &self.stored.charged_wrongly;
        Check {
            name: "tenants are charged what they store",
            holds: wrong.is_empty(),
            detail: format!(
                "{} in all, {} wrong{}",
                format_size(self.stored.charged),
                wrong.len(),
                first(wrong)
            ),
        }
    }

    fn nothing_is_held(&self) -> Check {
        let Mark {
            resources,
            reserved,
            lingering,
            ..
        } = &self.late;
        let held = resources
            .iter()
            .map(|held| format!("{} {}, {} unseen", held.name, held.held, held.unseen));
        let tenants: u64 = reserved.iter().map(|(_, bytes)| bytes).sum();
        Check {
            name: "nothing is held in the end",
            holds: resources.iter().all(|held| (held.held, held.unseen) == (0, 0)) && tenants == 0 && *lingering == 0,
            detail: format!(
                "{}; tenants {tenants}; {lingering} connections kept",
                held.collect::<Vec<_>>().join("; ")
            ),
        }
    }

    fn headroom(&self) -> Check {
        let resources = &self.late.resources;
        let told = resources
            .iter()
            .map(|held| format!("{} {} of {}", held.name, held.headroom, held.room));
        Check {
            name: "the headroom is the reading less the floor",
            holds: resources.iter().all(|held| held.headroom == held.room),
            detail: told.collect::<Vec<_>>().join("; "),
        }
    }

    fn nothing_stays_allocated(&self) -> Check {
        let (early, late) = (&self.early, &self.late);
        let more = late.heap.saturating_sub(early.heap);
        let seen = late.rss.saturating_sub(early.rss);
        let requests = self.tally.clients.sent.load(SeqCst) - self.early_requests;
        Check {
            name: "no memory stays allocated",
            holds: more <= TABLES && seen <= PIECES,
            detail: format!(
                "{} at rest, {requests} requests later {}; as the system sees it {}, then {}",
                format_size(early.heap),
                format_size(late.heap),
                format_size(early.rss),
                format_size(late.rss),
            ),
        }
    }

    fn nothing_else_stays(&self) -> Check {
        let (early, late) = (&self.early, &self.late);
        Check {
            name: "no thread, descriptor or task stays",
            holds: (late.threads, late.descriptors, late.tasks) == (early.threads, early.descriptors, early.tasks),
            detail: format!(
                "threads {} to {}, descriptors {} to {}, tasks {} to {}",
                early.threads, late.threads, early.descriptors, late.descriptors, early.tasks, late.tasks,
            ),
        }
    }

    fn no_complaints(&self) -> Check {
        let (number, complaints) = self.tally.complaints();
        Check {
            name: "nothing else was out of order",
            holds: number == 0,
            detail: format!("{number} complaints{}", first(&complaints)),
        }
    }

    fn answers(&self) -> BTreeMap<u16, u64> {
        let mut answers = BTreeMap::new();
        for ((_, status), number) in self.tally.clients.answers() {
            *answers.entry(status).or_default() += number;
        }
        answers
    }

    fn reasons(&self) -> Vec<(&'static str, u64)> {
        let reasons = self.guard.refused.by_reason();
        reasons
            .filter(|(_, number)| *number > 0)
            .map(|(reason, number)| (reason.name(), number))
            .collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let by_action = self.tally.clients.answers().into_iter();
        let check = |check: Check| json!({ "name": check.name, "holds": check.holds, "detail": check.detail });
        json!({
            "holds": self.holds(),
            "seed": self.options.seed,
            "seconds": self.took.as_secs_f64(),
            "redis": self.has_redis,
            "disturbances": object(self.disturbances.iter().copied()),
            "requests": self.tally.clients.sent.load(SeqCst),
            "answers": object(self.answers()),
            "actions": object(by_action.map(|((action, status), number)| (format!("{action}: {status}"), number))),
            "refused": object(self.reasons()),
            "mid_stream": self.guard.refused.mid_stream(),
            "late_failures": self.guard.late_failures,
            "lingered": self.guard.lingered,
            "linger_overflow": self.guard.linger_overflow,
            "storage_full": self.tally.storage_full_so_far().0,
            "early": self.early.to_json(),
            "late": self.late.to_json(),
            "checks": self.checks().into_iter().map(check).collect::<Vec<_>>(),
            "complaints": self.tally.complaints().1,
        })
    }
}

fn object(entries: impl IntoIterator<Item = (impl ToString, u64)>) -> Map<String, Value> {
    entries
        .into_iter()
        .map(|(name, number)| (name.to_string(), number.into()))
        .collect()
}

fn first(flaws: &[String]) -> String {
    flaws
        .first()
        .map_or_else(String::new, |flaw| format!(", such as: {flaw}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            place, clients, seed, ..
        } = &self.options;
        let requests = self.tally.clients.sent.load(SeqCst);
        let bytes = format_size(self.tally.clients.bytes.load(SeqCst));
        writeln!(
            f,
            "{requests} requests of {clients} clients in {:.0} s, {bytes} to store; {place:?}, {}, seed {seed}",
            self.took.as_secs_f64(),
            if self.has_redis { "Redis" } else { "no Redis" },
        )?;
        writeln!(f, "\nmeanwhile")?;
        for (what, times) in &self.disturbances {
            writeln!(f, "{times:8}  {what}")?;
        }
        writeln!(f, "\nanswers")?;
        for (status, number) in self.answers() {
            writeln!(f, "{number:8}  {status}")?;
        }
        writeln!(f, "\nrefused")?;
        for (reason, number) in self.reasons() {
            writeln!(f, "{number:8}  {reason}")?;
        }
        writeln!(f, "{:8}  of them in mid-stream", self.guard.refused.mid_stream())?;
        writeln!(
            f,
            "{:8}  of them because the storage was full for the handler",
            self.guard.late_failures
        )?;
        let LayerReport {
            lingered,
            linger_overflow,
            ..
        } = self.guard;
        writeln!(f, "{lingered:8}  whose connections were kept for a moment")?;
        writeln!(f, "{linger_overflow:8}  closed at once because too many were kept")?;
        writeln!(f, "\npromised")?;
        for check in self.checks() {
            let word = if check.holds { "held" } else { "BROKEN" };
            writeln!(f, "{word:>8}  {}\n          {}", check.name, check.detail)?;
        }
        for complaint in self.tally.complaints().1 {
            writeln!(f, "          {complaint}")?;
        }
        for wrong in self.stored.wrong.iter().chain(&self.stored.charged_wrongly).take(20) {
            writeln!(f, "          {wrong}")?;
        }
        Ok(())
    }
}
