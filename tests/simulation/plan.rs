//! What a request does, drawn when it arrives, and what is known of it later.

use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, StatusCode};
use tower_storage_guard::Reason;

pub(crate) const TENANTS: [&str; 3] = ["alice", "bob", "carol"];

/// The most disks that a world has, and the most ledgers.
pub(crate) const DISKS: usize = 2;
pub(crate) const BOOKS: usize = 2;

/// What the client sends and what the handler does about it. The handler finds it in the request's extensions.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) number: usize,
    pub(crate) layer: usize,
    pub(crate) method: Method,
    pub(crate) tenant: Option<usize>,
    pub(crate) claim: Claim,
    pub(crate) style: Style,
    /// Bytes that the handler stores although the body does not bring them.
    pub(crate) adds: u64,
    /// The handler writes more of its buffer than it must.
    pub(crate) writes_ahead: bool,
    /// The handler pauses so often before it writes what it kept.
    pub(crate) ponders: u64,
    pub(crate) panics_at: Option<u32>,
    pub(crate) status: StatusCode,
    /// The handler reports this much less than it stored.
    pub(crate) reports_less: Option<u64>,
    pub(crate) removes_partial: bool,
    facts: Arc<Mutex<Facts>>,
}

/// What a request asks for before its body comes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Claim {
    pub(crate) bytes: u64,
    /// Nothing vouches for the body's end. A hint raises `bytes`, and settles nothing.
    pub(crate) may_grow: bool,
    /// Something is stored even if the body is never read.
    pub(crate) creates: bool,
    /// Bytes that count as written even if the body does not bring them.
    pub(crate) adds: u64,
    /// Those of them that a tenant is charged for.
    pub(crate) copies: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// Writes behind what comes, and then answers.
    Stores,
    /// Answers at once and goes on storing.
    HandsOver,
    /// Never looks at the body.
    Ignores,
    /// Stores bytes that the body does not bring.
    Adds,
    /// Reads a part, drops the body, and answers.
    Stops,
    /// Reads a part, drops the body, and reports that the storage failed.
    Fails,
    /// Collects the body. A task that keeps the reservation writes it.
    WritesLater,
    /// Writes over bytes that are stored already.
    Overwrites,
}

/// What happened to a request.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) decision: Option<Decision>,
    /// The minimum charge when it was admitted.
    pub(crate) admitted_at: Option<u64>,
    /// What the handler may have unwritten when it asks for more.
    pub(crate) buffer: u64,
    /// Bytes that the handler got.
    pub(crate) handed: u64,
    /// Why its body was cut off.
    pub(crate) cut: Option<Reason>,
    /// Why the storage failed, as the handler reported.
    pub(crate) failure: Option<Reason>,
    /// What the handler answered and the client got: the status, and what it says of the bytes that are stored.
    pub(crate) concluded: Option<(StatusCode, Option<i64>)>,
    pub(crate) answers: u32,
    pub(crate) answer: Option<Answer>,
    /// The client has the whole answer, or is gone.
    pub(crate) answer_is_over: bool,
    pub(crate) client: Client,
    /// The handler let go of the body.
    pub(crate) is_released: bool,
    pub(crate) body_is_gone: bool,
    /// The layer has begun to read the rest of the body for a client that still sends.
    pub(crate) lingers: bool,
    /// A task of the handler's keeps the reservation.
    pub(crate) is_kept: bool,
    pub(crate) is_aborted: bool,
    /// The tasks that work on it, and whether there will be no more.
    pub(crate) tasks: u32,
    pub(crate) is_over: bool,
    /// What its handle says that it has reserved.
    pub(crate) reserved: Option<u64>,
    /// What the accounts of the disks hold for it, and what they have closed.
    pub(crate) held: [i64; DISKS],
    pub(crate) closed: [i64; DISKS],
    /// What each ledger in memory has reserved for it.
    pub(crate) charged: [i64; BOOKS],
    /// Its layer has refused nothing at some time, so less may be held than it needs.
    pub(crate) is_loose: bool,
}

/// What the client's side of the body has seen.
#[derive(Default)]
pub(crate) struct Client {
    /// Bytes that it has sent.
    pub(crate) sent: u64,
    /// It was asked for a frame.
    pub(crate) is_asked: bool,
    /// It stopped sending.
    pub(crate) hangs: bool,
    /// It has sent all, or failed.
    pub(crate) is_done: bool,
    pub(crate) has_failed: bool,
    /// Its body is so small that the guard does not keep it: it has arrived, or is on its way in full.
    pub(crate) is_small: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Handlers,
    Refusal,
}

/// What the guard decided when it was called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    Admitted,
    Refused(Reason),
    /// Let through though it would be refused.
    Reported(Reason),
    /// Exempt, or a ledger has to be asked.
    Open,
}

impl Plan {
    /// A plan that stores what comes.
    pub(crate) fn new(number: usize, layer: usize, method: Method) -> Self {
        Self {
            number,
            layer,
            method,
            tenant: None,
            claim: Claim::default(),
            style: Style::Stores,
            adds: 0,
            writes_ahead: false,
            ponders: 0,
            panics_at: None,
            status: StatusCode::OK,
            reports_less: None,
            removes_partial: false,
            facts: Arc::default(),
        }
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    pub(crate) fn is_exempt(&self) -> bool {
        [Method::GET, Method::DELETE].contains(&self.method)
    }
}

impl Facts {
    /// Nothing holds the reservation any more: not the body, not the response, no handle.
    pub(crate) fn reservation_is_over(&self) -> bool {
        let is_answered = self.answers > 0 || self.answer_is_over;
        is_answered && self.is_released && !self.is_kept
    }

    /// What the request has changed on its tenants' accounts.
    pub(crate) fn stored(&self, claim: &Claim) -> i64 {
        match self.concluded {
            Some((_, Some(reported))) => reported,
            Some((status, None)) if status.is_success() => self.handed.max(claim.copies) as i64,
            _ => 0,
        }
    }
}
