//! What a request will do, drawn when it arrives; and what is known of it later.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_storage_guard::{
    Reason, Refusal, WriteBuffer,
    test_util::{ScriptError, ScriptedBody},
};

use crate::{dice::Dice, site::Fault};

pub(crate) const LARGEST_FRAME: u64 = 512 << 10;

/// What the client wants and what the handler does about it. Goes with the request to the handler.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) number: usize,
    pub(crate) layer: usize,
    pub(crate) method: Method,
    pub(crate) tenant: Option<usize>,
    pub(crate) length: Length,
    /// More may come than that.
    pub(crate) grows: bool,
    /// The handler copies so many bytes that are not in the body.
    pub(crate) copies: Option<u64>,
    pub(crate) style: Style,
    /// What the handler may have unwritten when it asks for more.
    pub(crate) keeps: u64,
    /// More than this and a step were closed early.
    pub(crate) buffer: u64,
    /// Waits for so long before it writes what it kept.
    pub(crate) ponders: u64,
    pub(crate) panics_at: Option<u32>,
    /// Collects the body and has it written by a task, as by `spawn_blocking`.
    pub(crate) writes_in_task: bool,
    /// Stops before this frame, and says why.
    pub(crate) stops_at: Option<(u32, Stop)>,
    pub(crate) status: StatusCode,
    /// Tells that it stored this much less than came.
    pub(crate) tells_less: Option<u64>,
    pub(crate) removes_partial: bool,
    pub(crate) facts: Arc<Mutex<Facts>>,
}

/// What is known of a request's length beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Length {
    Unknown,
    Known(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// Writes behind what comes, and then answers.
    Stores,
    /// Answers at once and goes on storing.
    HandsOver,
    /// Never looks at the body.
    Ignores,
    /// Writes what is not in the body.
    Copies,
}

/// Why a handler goes no further, although there is room on the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    /// Another file system of the same layer is full, or blocks that no probe can see.
    Full,
    /// The user that it writes as may store no more.
    Quota,
}

/// What happened to a request.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) decision: Option<Decision>,
    /// Bytes that the handler got.
    pub(crate) handed: u64,
    /// Bytes that the handler writes although they are not in the body.
    pub(crate) copied: u64,
    /// Why its body was cut off.
    pub(crate) cut: Option<Refusal>,
    /// Bytes that the client has sent.
    pub(crate) sent: u64,
    /// The client stopped sending.
    pub(crate) hangs: bool,
    /// The client has sent all that it ever will.
    pub(crate) sent_all: bool,
    /// The handler said that the disk is full.
    pub(crate) told_full: bool,
    /// The handler said that its user may store no more.
    pub(crate) told_quota: bool,
    /// What the handler answered and the client got: the status, and what it says of the bytes that are stored.
    pub(crate) concluded: Option<(StatusCode, Option<i64>)>,
    pub(crate) answers: u32,
    /// Bytes that it closed on each disk.
    pub(crate) closed: [u64; 2],
    /// The minimum charge when it came.
    pub(crate) minimum: u64,
    pub(crate) body_is_gone: bool,
    pub(crate) is_over: bool,
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

/// A client's body that tells when it is gone.
pub(crate) struct Upload {
    script: ScriptedBody,
    facts: Arc<Mutex<Facts>>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ScriptError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptError>>> {
        let polled = Pin::new(&mut self.script).poll_frame(context);
        let mut facts = self.facts.lock().unwrap();
        facts.hangs = polled.is_pending();
        facts.sent_all |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            facts.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        drop(facts);
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.facts.lock().unwrap().body_is_gone = true;
    }
}

/// An upload of a byte, by which something closes all the time.
pub(crate) fn drip(number: usize, layer: usize) -> (Plan, Request<Upload>) {
    let facts = Arc::new(Mutex::new(Facts::default()));
    let plan = Plan {
        number,
        layer,
        method: Method::PUT,
        tenant: None,
        length: Length::Known(1),
        grows: false,
        copies: None,
        style: Style::Stores,
        keeps: 0,
        buffer: u64::MAX,
        ponders: 0,
        panics_at: None,
        writes_in_task: false,
        stops_at: None,
        status: StatusCode::CREATED,
        tells_less: None,
        removes_partial: true,
        facts: facts.clone(),
    };
    let script = ScriptedBody::new().data(1).telling_length(1);
    let mut request = Request::put("/").body(Upload { script, facts }).unwrap();
    request.extensions_mut().insert(plan.clone());
    (plan, request)
}

/// Habits of a world's clients.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// Some send more than they say.
    pub(crate) lies: bool,
    /// Many give hints for small files, and tenants have little room.
    pub(crate) hints: bool,
    /// Small uploads come all the time to a disk that shows late what is written and is measured after each.
    pub(crate) drips: bool,
}

/// The settings of a layer that its handlers must know.
pub(crate) struct Terms {
    pub(crate) buffer: WriteBuffer,
    /// It knows how large a copy is.
    pub(crate) classifies: bool,
}

/// One of ten ways to tell a length.
const HINT: u64 = 5;

/// Tells a layer how large a copy is.
pub(crate) const COPIES: HeaderName = HeaderName::from_static("x-copies");

/// The request of a plan that is drawn now, and what is special about it.
pub(crate) fn draw(
    dice: &mut Dice,
    number: usize,
    layers: &[Terms],
    largest: u64,
    edges: &[u64],
    habits: Habits,
    fault: Fault,
) -> (Plan, Request<Upload>, Vec<&'static str>) {
    let mut notes = Vec::new();
    let facts = Arc::new(Mutex::new(Facts::default()));
    // Faults show with uploads that are stored.
    let is_sound = fault == Fault::None;
    let method = match dice.below(20) {
        5.. => Method::PUT,
        0 => Method::GET,
        1 => Method::from_bytes(b"MKCOL").unwrap(),
        _ if !is_sound => Method::PUT,
        2 | 3 => Method::from_bytes(b"COPY").unwrap(),
        _ => Method::from_bytes(b"PROPPATCH").unwrap(),
    };
    let size = match dice.below(8) {
        _ if ![b"PUT", &b"PROPPATCH"[..]].contains(&method.as_str().as_bytes()) => 0,
        // What just fits, and what just does not.
        _ if !edges.is_empty() && dice.one_in(8) => {
            (edges[dice.below(edges.len() as u64) as usize] + dice.below(3)).saturating_sub(1)
        }
        0 => 0,
        _ if habits.hints => 1 + dice.below(256 << 10),
        1 | 2 => 1 + dice.below(64 << 10),
        3 | 4 => 1 + dice.below(2 << 20),
        5 | 6 => 1 + dice.below(largest / 3),
        _ => 1 + dice.below(largest),
    };
    let mut script = ScriptedBody::new();
    let mut rest = size;
    // Clients send large files in large pieces.
    let frame = (size / 40).clamp(16 << 10, LARGEST_FRAME);
    let at_once = size <= LARGEST_FRAME && dice.one_in(2);
    // Some send a little and go.
    let mut leaves_after = if is_sound && dice.one_in(12) {
        dice.below(4)
    } else {
        u64::MAX
    };
    while rest > 0 {
        if leaves_after == 0 {
            notes.push("client leaves early");
            script = script.error("the client is gone");
            break;
        }
        leaves_after -= 1;
        let piece = if at_once { size } else { 1 + dice.below(frame * 2) };
        let bytes = rest.min(piece).min(LARGEST_FRAME);
        script = script.data(bytes as usize);
        rest -= bytes;
        if dice.one_in(5) {
            script = script.pause();
        }
        if size > 0 && dice.one_in(150) {
            if dice.one_in(2) {
                notes.push("body: hangs");
                script = script.hang();
            } else {
                notes.push("body: error");
                script = script.error("the client is gone");
            }
            break;
        }
    }
    if dice.one_in(6) && size > 0 {
        notes.push("body: trailers");
        script = script.trailers();
    }
    let mut request = Request::builder().method(method.clone()).uri("/");
    let mut length = Length::Known(size);
    let mut grows = false;
    let told = match dice.below(10) {
        _ if habits.hints && dice.one_in(2) => HINT,
        told => told,
    };
    match told {
        0..=3 => script = script.telling_length(size),
        _ if size == 0 => script = script.telling_length(0),
        4 => request = request.header("content-length", size),
        HINT => {
            notes.push("body: grows beyond its hint");
            let hint = match dice.below(3) {
                0 => 0,
                1 => dice.below(size),
                _ => size + dice.below(2) * dice.below(100_000),
            };
            request = request.header("upload-length", hint);
            length = Length::Known(hint);
            grows = true;
        }
        6 if habits.lies => {
            notes.push("body: tells too little");
            length = Length::Known(size.div_ceil(2));
            script = script.telling_length(size.div_ceil(2));
        }
        _ => {
            length = Length::Unknown;
            grows = true;
        }
    }
    let tenant = (!dice.one_in(40)).then(|| dice.below(3) as usize);
    if let Some(tenant) = tenant {
        request = request.header("x-tenant", TENANTS[tenant]);
    }
    let layer = dice.below(layers.len() as u64) as usize;
    let mut style = match dice.below(10) {
        0 => Style::Ignores,
        1 => Style::HandsOver,
        _ => Style::Stores,
    };
    let copies = (layers[layer].classifies && method.as_str() == "COPY").then(|| 1 + dice.below(largest / 3));
    if let Some(bytes) = copies {
        notes.push("stored elsewhere");
        request = request.header(COPIES, bytes);
        length = Length::Known(bytes);
        style = Style::Copies;
    }
    let buffer = match layers[layer].buffer {
        WriteBuffer::Bytes(bytes) => bytes,
        WriteBuffer::Whole => u64::MAX,
    };
    let plan = Plan {
        number,
        layer,
        buffer,
        tenant,
        length,
        grows,
        copies,
        style,
        keeps: match dice.below(3) {
            _ if fault == Fault::HandlersKeepTooMuch => u64::MAX,
            0 => dice.below(buffer.max(1)),
            _ => buffer,
        },
        ponders: match fault {
            Fault::HandlersKeepTooMuch | Fault::WritesGoOn => 150,
            _ => dice.below(2) * dice.below(150),
        },
        panics_at: dice.one_in(25).then(|| dice.below(6) as u32),
        writes_in_task: fault == Fault::WritesGoOn,
        stops_at: (is_sound && dice.one_in(20)).then(|| {
            let stop = if dice.one_in(2) { Stop::Full } else { Stop::Quota };
            (1 + dice.below(5) as u32, stop)
        }),
        status: [StatusCode::CREATED, StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR][(dice.below(12) / 5) as usize],
        tells_less: dice.one_in(8).then(|| dice.below(3000)),
        removes_partial: dice.one_in(2),
        method,
        facts: facts.clone(),
    };
    let mut request = request.body(Upload { script, facts }).unwrap();
    request.extensions_mut().insert(plan.clone());
    (plan, request, notes)
}

pub(crate) const TENANTS: [&str; 3] = ["alice", "bob", "carol"];
