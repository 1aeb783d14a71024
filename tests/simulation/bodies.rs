//! How long the client's side of a body lives: until the client can have read a refusal, and no longer.

use crate::{
    plan::{Answer, Facts, Plan},
    site::Fault,
    world::World,
};

impl World {
    pub(crate) fn judge_body(&self, plan: &Plan) {
        let facts = plan.facts();
        let is_early = facts.lingers && facts.answer == Some(Answer::Refusal) && !facts.answer_is_over;
        self.site.check(!is_early, || {
            format!("the body of #{} is read before its answer is written", plan.number)
        });
        let is_gone = facts.body_is_gone;
        let expected = if self.site.lingers {
            expected_with_runtime(&facts)
        } else {
            expected_without_runtime(&facts)
        };
        if expected == Some(!is_gone) {
            let words = if is_gone { "gone too early" } else { "kept for nothing" };
            self.site.wrong(|| {
                let Facts {
                    answer, failure, cut, ..
                } = &*facts;
                format!(
                    "the body of #{} is {words}: {answer:?}, failure {failure:?}, cut {cut:?}",
                    plan.number
                )
            });
        }
        if facts.is_over && facts.failure.is_some() && facts.answer == Some(Answer::Refusal) && !facts.client.is_done {
            self.site.count(if self.site.lingers {
                "late failure: the body is kept"
            } else {
                "late failure: the body is dropped"
            });
        }
    }
}

/// Whether the body has to be gone, where that is certain.
fn expected_without_runtime(facts: &Facts) -> Option<bool> {
    // Nothing can keep a body for a client, so it goes when the response is decided.
    (facts.is_over || (facts.is_released && facts.answer.is_some())).then_some(true)
}

/// The same where bodies can be kept. The kept ones are read by a runtime that does not run.
fn expected_with_runtime(facts: &Facts) -> Option<bool> {
    if !facts.is_released {
        return None;
    }
    if facts.client.is_done || facts.client.is_small {
        return Some(true);
    }
    let is_refused = facts.cut.is_some() || facts.answer == Some(Answer::Refusal);
    if facts.answer_is_over {
        return (!is_refused).then_some(true);
    }
    match facts.answer {
        // It may become a refusal.
        None => facts.admitted_at.map(|_| false),
        Some(Answer::Refusal) => Some(false),
        // The handler's body was cut off or dropped after the answer.
        Some(Answer::Handlers) => (!is_refused).then_some(true),
    }
}

/// The layer's setting.
pub(crate) fn linger(fault: Fault) -> tower_storage_guard::Linger {
    match fault {
        Fault::LingerIsOff => tower_storage_guard::Linger::off(),
        _ => tower_storage_guard::Linger::default(),
    }
}
