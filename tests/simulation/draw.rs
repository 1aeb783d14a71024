//! Draws what a request will do.

use http::{Method, Request, StatusCode, request::Builder};
use tower_storage_guard::test_util::ScriptedBody;

use crate::{
    dice::Dice,
    plan::{Claim, Plan, Style, TENANTS},
    site::Fault,
    upload::Upload,
    world::Rules,
};

pub(crate) const LARGEST_FRAME: u64 = 512 << 10;

/// The header that says how many bytes a copy stores.
pub(crate) const COPIED_BYTES: &str = "x-bytes";

const HINTS: [&str; 3] = ["upload-length", "x-expected-entity-length", "oc-total-length"];

/// Draws requests for the layers of a world.
pub(crate) struct Draw<'a> {
    pub(crate) dice: &'a mut Dice,
    /// Of each layer.
    pub(crate) rules: &'a [Rules],
    /// The largest body.
    pub(crate) largest: u64,
    /// Sizes at which one byte more or less makes a difference.
    pub(crate) edges: &'a [u64],
    pub(crate) fault: Fault,
}

pub(crate) struct Drawn {
    pub(crate) plan: Plan,
    pub(crate) request: Request<Upload>,
    /// What is special about it.
    pub(crate) notes: Vec<&'static str>,
}

impl Draw<'_> {
    pub(crate) fn request(&mut self, number: usize) -> Drawn {
        let layer = self.dice.below(self.rules.len() as u64) as usize;
        let rules = self.rules[layer];
        let method = self.method(&rules);
        let mut notes = Vec::new();
        let mut plan = Plan::new(number, layer, method.clone());
        let mut size = match method.as_str() {
            "GET" | "COPY" => 0,
            "MKCOL" | "PROPPATCH" | "POST" if self.dice.one_in(2) => 0,
            _ => self.size(),
        };
        if self.fault == Fault::HandlesAreDroppedEarly {
            size = size.max(1);
        }
        let mut request = Request::builder().method(method.clone()).uri("/");
        let mut script = self.script(size, &mut notes);
        (request, script) = self.declare(&mut plan, size, request, script, &mut notes);
        if method.as_str() == "COPY" {
            request = self.copy(&mut plan, request);
        }
        plan.tenant = (!self.dice.one_in(40)).then(|| self.dice.below(3) as usize);
        if let Some(tenant) = plan.tenant {
            request = request.header("x-tenant", TENANTS[tenant]);
        }
        self.handling(&mut plan, &rules);
        Drawn {
            request: build(request, script, &plan),
            plan,
            notes,
        }
    }

    fn method(&mut self, rules: &Rules) -> Method {
        let copies = rules.classifies && (self.fault == Fault::CopiesExceedTheirClaim || self.dice.one_in(12));
        let name = match self.dice.below(40) {
            0 | 1 => "GET",
            _ if copies => "COPY",
            2 | 3 => "MKCOL",
            4 => "PROPPATCH",
            5..=8 => "POST",
            _ => "PUT",
        };
        Method::from_bytes(name.as_bytes()).unwrap()
    }

    fn size(&mut self) -> u64 {
        let dice = &mut *self.dice;
        match dice.below(8) {
            // What just fits, and what just does not.
            _ if !self.edges.is_empty() && dice.one_in(8) => {
                (self.edges[dice.below(self.edges.len() as u64) as usize] + dice.below(3)).saturating_sub(1)
            }
            0 => 0,
            1 | 2 => 1 + dice.below(64 << 10),
            3 | 4 => 1 + dice.below(2 << 20),
            5 | 6 => 1 + dice.below(self.largest / 3),
            _ => 1 + dice.below(self.largest),
        }
    }

    /// The body: frames, pauses, trailers, and perhaps an early end.
    fn script(&mut self, size: u64, notes: &mut Vec<&'static str>) -> ScriptedBody {
        let dice = &mut *self.dice;
        let mut script = ScriptedBody::new();
        let mut rest = size;
        // Clients send large files in large pieces.
        let frame = (size / 40).clamp(16 << 10, LARGEST_FRAME);
        // Some clients leave after a part of the body.
        let last = if size > 0 && dice.one_in(12) {
            dice.below(size)
        } else {
            0
        };
        while rest > 0 {
            let bytes = rest.min(1 + dice.below(frame * 2)).min(LARGEST_FRAME);
            script = script.data(bytes as usize);
            rest -= bytes;
            if dice.one_in(5) {
                script = script.pause();
            }
            if rest < last || dice.one_in(150) {
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
        script
    }

    /// What the head says of the length.
    fn declare(
        &mut self,
        plan: &mut Plan,
        size: u64,
        request: Builder,
        script: ScriptedBody,
        notes: &mut Vec<&'static str>,
    ) -> (Builder, ScriptedBody) {
        let is_put_or_post = [Method::PUT, Method::POST].contains(&plan.method);
        plan.claim.creates = !is_put_or_post;
        plan.claim.bytes = size;
        match self.dice.below(12) {
            4 if size > 0 => (request.header("content-length", size), script),
            5 if size > 0 => {
                notes.push("body: declares too little");
                plan.claim.bytes = size.div_ceil(2);
                (request, script.telling_length(plan.claim.bytes))
            }
            6 | 7 => {
                plan.claim.may_grow = true;
                plan.claim.bytes = 0;
                (request, script)
            }
            8..=11 => {
                plan.claim.may_grow = true;
                (self.hint(plan, size, request, notes), script)
            }
            _ => {
                let request = match size {
                    0 => self.announce(plan, request, notes),
                    // A hint adds nothing to a length that is known.
                    _ if self.dice.one_in(6) => request.header(self.hint_name(), self.size()),
                    _ => request,
                };
                (request, script.telling_length(size))
            }
        }
    }

    fn hint_name(&mut self) -> &'static str {
        HINTS[self.dice.below(HINTS.len() as u64) as usize]
    }

    /// A hint of a body that may grow all the same.
    fn hint(&mut self, plan: &mut Plan, size: u64, request: Builder, notes: &mut Vec<&'static str>) -> Builder {
        let (note, hint) = match self.dice.below(4) {
            0 => ("hint: zero", 0),
            1 => ("hint: smaller than the body", self.dice.below(size.max(1))),
            2 => ("hint: equal to the body", size),
            _ => ("hint: larger than the body", size + 1 + self.dice.below(100_000)),
        };
        notes.push(note);
        if plan.claim.creates {
            notes.push("hint: of a method that creates");
        }
        plan.claim.bytes = hint;
        request.header(self.hint_name(), hint)
    }

    /// An empty body, and perhaps a hint of bytes that the handler allocates or that come later.
    fn announce(&mut self, plan: &mut Plan, request: Builder, notes: &mut Vec<&'static str>) -> Builder {
        plan.claim.creates = true;
        if plan.method != Method::POST {
            return request;
        }
        plan.claim.bytes = self.size();
        let request = request.header(self.hint_name(), plan.claim.bytes);
        if self.dice.one_in(3) {
            notes.push("announced: bytes of later requests");
            return request.header("tus-resumable", "1.0.0");
        }
        plan.claim.adds = plan.claim.bytes;
        plan.adds = plan.claim.bytes;
        request
    }

    /// A classifier says how many bytes a copy stores.
    fn copy(&mut self, plan: &mut Plan, request: Builder) -> Builder {
        plan.adds = self.size();
        plan.claim.copies = match self.fault {
            Fault::CopiesExceedTheirClaim => plan.adds / 8,
            _ => plan.adds,
        };
        plan.claim.adds = plan.claim.copies.max(plan.claim.adds);
        plan.claim.bytes = plan.claim.bytes.max(plan.claim.copies);
        request.header(COPIED_BYTES, plan.claim.copies)
    }

    fn handling(&mut self, plan: &mut Plan, rules: &Rules) {
        let dice = &mut *self.dice;
        plan.style = match dice.below(20) {
            _ if plan.adds > 0 => Style::Adds,
            _ if self.fault == Fault::HandlesAreDroppedEarly => Style::WritesLater,
            0 | 1 => Style::Ignores,
            2 | 3 => Style::HandsOver,
            4 => Style::Stops,
            5 => Style::Fails,
            6..=11 if rules.exposes => Style::WritesLater,
            _ => Style::Stores,
        };
        plan.writes_ahead = dice.one_in(3);
        plan.ponders = match self.fault {
            Fault::HandlersKeepTooMuch | Fault::HandlesAreDroppedEarly => 150,
            _ => dice.below(2) * dice.below(150),
        };
        plan.panics_at = dice.one_in(25).then(|| dice.below(6) as u32);
        plan.status =
            [StatusCode::CREATED, StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR][(dice.below(12) / 5) as usize];
        plan.reports_less = dice.one_in(8).then(|| dice.below(3000));
        plan.removes_partial = dice.one_in(2);
    }
}

fn build(request: Builder, script: ScriptedBody, plan: &Plan) -> Request<Upload> {
    let plan = plan.clone();
    let mut request = request.body(Upload {
        script,
        plan: plan.clone(),
    });
    request.as_mut().unwrap().extensions_mut().insert(plan);
    request.unwrap()
}

/// A small file that is written again.
pub(crate) fn overwrite(number: usize, layer: usize, bytes: u64) -> (Plan, Request<Upload>) {
    let mut plan = Plan::new(number, layer, Method::PUT);
    plan.claim = Claim {
        bytes,
        ..Claim::default()
    };
    plan.style = Style::Overwrites;
    plan.tenant = Some(0);
    let request = Request::builder()
        .method(Method::PUT)
        .uri("/")
        .header("x-tenant", TENANTS[0]);
    let script = ScriptedBody::new().data(bytes as usize).telling_length(bytes);
    let request = build(request, script, &plan);
    (plan, request)
}
