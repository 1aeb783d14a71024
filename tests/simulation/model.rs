//! What the guard may decide, by plain sums over the settings.

use http::{Response, StatusCode, header::RETRY_AFTER};
use tower_storage_guard::{Reason, Refusal, ResourceReport};

use crate::{
    disk::Disk,
    handler::Number,
    plan::{Answer, Decision, Facts, Plan},
    world::{Guard, World},
};

/// How everything stood just before a request came.
pub(crate) struct Standing {
    resources: Vec<ResourceReport>,
    /// Of each ledger in memory: used and reserved of the request's account.
    accounts: Vec<(u64, u64)>,
    admitted: u64,
    refused: Vec<(Reason, u64)>,
    reported: Vec<(Reason, u64)>,
}

/// What a file of this length needs of a disk.
pub(crate) fn need(disk: &Disk, bytes: u64) -> u64 {
    let block = u64::from(disk.block);
    if block == 1 {
        return bytes;
    }
    let extents = (bytes / block).saturating_sub(4) * 16;
    (bytes + extents).div_ceil(block) * block + block
}

pub(crate) fn is_permanent(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota
    )
}

impl World {
    pub(crate) fn standing(&self, plan: &Plan) -> Standing {
        let report = self.layers[plan.layer].layer.report();
        let account = |tenant| {
            let books = self.books.iter().filter(|book| book.store.is_none());
            let usage = books.map(|book| book.ledger.usage(book.name(book.account(tenant))));
            usage.map(|usage| (usage.used, usage.reserved)).collect()
        };
        Standing {
            resources: self.resources.iter().map(|resource| resource.report()).collect(),
            accounts: plan.tenant.map(account).unwrap_or_default(),
            admitted: report.admitted,
            refused: report.refused.by_reason().collect(),
            reported: report.would_be_refused.by_reason().collect(),
        }
    }

    /// What the guard has decided since then.
    pub(crate) fn decision(&self, before: &Standing, plan: &Plan) -> Decision {
        let after = self.standing(plan);
        let more = |before: &[(Reason, u64)], after: &[(Reason, u64)]| {
            let mut grown = before.iter().zip(after).filter(|(before, after)| after.1 > before.1);
            grown.next().map(|(_, after)| after.0)
        };
        if let Some(reason) = more(&before.refused, &after.refused) {
            return Decision::Refused(reason);
        }
        if let Some(reason) = more(&before.reported, &after.reported) {
            return Decision::Reported(reason);
        }
        if after.admitted > before.admitted {
            return Decision::Admitted;
        }
        Decision::Open
    }

    /// Whether that was right.
    pub(crate) fn judge(&self, plan: &Plan, before: &Standing, decision: Decision) {
        let guard = &self.layers[plan.layer];
        let rules = *guard.rules.lock().unwrap();
        let wrong = |what: &str| {
            self.site
                .wrong(|| format!("#{} {:?}: {decision:?}, but {what}", plan.number, plan.claim));
        };
        if plan.is_exempt() {
            if decision != Decision::Open {
                wrong("it is exempt");
            }
            return;
        }
        let bytes = plan.claim.bytes.max(rules.minimum);
        let is_nameless = !self.books.is_empty() && plan.tenant.is_none();
        let never = self.never(guard, plan, bytes);
        // A body that is too large is refused for that, whatever else it lacks.
        let lacks_length = rules.require_length && plan.claim.may_grow && bytes <= rules.maximum;
        match decision {
            Decision::Refused(reason) | Decision::Reported(reason) => {
                if rules.report_only == matches!(decision, Decision::Refused(_)) {
                    wrong("the mode is another");
                }
                if is_nameless && reason != Reason::UnknownTenant {
                    wrong("it has no tenant");
                }
                if !is_nameless && lacks_length != (reason == Reason::LengthRequired) {
                    wrong("it is not so that it lacks its length");
                }
                let expects_never = never && !is_nameless && !lacks_length;
                let store_says_so = reason == Reason::ExceedsQuota && self.exceeds_lease(plan, bytes);
                if is_permanent(reason) != expects_never && !store_says_so {
                    wrong(if never {
                        "it can never fit"
                    } else {
                        "it could fit one day"
                    });
                }
                if !is_permanent(reason) && !self.is_short(guard, plan, before, bytes, reason) {
                    wrong("nothing is short");
                }
                if matches!(decision, Decision::Refused(_)) {
                    self.site.count("rolled back");
                    let after = self.standing(plan);
                    if after.resources != before.resources || after.accounts != before.accounts {
                        wrong("something was taken");
                    }
                }
            }
            Decision::Admitted => {
                if never || is_nameless || lacks_length {
                    wrong("it never may");
                }
                self.judge_admission(guard, plan, before, bytes, &wrong);
            }
            Decision::Open if !self.has_leases() => {
                if !rules.report_only {
                    wrong("nothing has to be asked");
                }
            }
            Decision::Open => self.site.count("asked a store"),
        }
    }

    fn judge_admission(&self, guard: &Guard, plan: &Plan, before: &Standing, bytes: u64, wrong: &impl Fn(&str)) {
        let after = self.standing(plan);
        for &at in &guard.disks {
            let (was, is) = (&before.resources[at], &after.resources[at]);
            let need = need(&self.site.disk(at), bytes) as i64;
            if was.closed {
                wrong("the resource is closed");
            }
            if was.measured && was.headroom < need {
                wrong("it does not fit");
            }
            // Without a measurement the headroom is not exact.
            if was.measured && is.headroom != was.headroom - need {
                wrong("something else was taken");
            }
            if !was.measured {
                self.site.disk(at).is_tainted = true;
            }
        }
        if guard.rules.lock().unwrap().report_only {
            return;
        }
        let Some(tenant) = plan.tenant else { return };
        let books = self.books.iter().filter(|book| book.store.is_none());
        for (book, ((used, reserved), after)) in books.zip(before.accounts.iter().zip(&after.accounts)) {
            let limit = book.limits.lock().unwrap()[book.account(tenant)];
            if bytes > 0 && used + reserved + bytes > limit {
                wrong("the quota is used up");
            }
            if *after != (*used, reserved + bytes) {
                wrong("something else was charged");
            }
        }
    }

    /// Whether so many bytes could not even be stored if all was empty.
    fn never(&self, guard: &Guard, plan: &Plan, bytes: u64) -> bool {
        let rules = *guard.rules.lock().unwrap();
        let too_large = bytes > rules.maximum;
        let exceeds = guard.disks.iter().any(|&at| {
            let disk = self.site.disk(at);
            need(&disk, bytes) > disk.total.saturating_sub(disk.floor)
        });
        let exceeds_quota = plan.tenant.is_some_and(|tenant| {
            // Of leases the store decides.
            let mut books = self.books.iter().filter(|book| book.store.is_none());
            books.any(|book| bytes > book.limits.lock().unwrap()[book.account(tenant)])
        });
        too_large || exceeds || exceeds_quota
    }

    pub(crate) fn has_leases(&self) -> bool {
        self.books.iter().any(|book| book.store.is_some())
    }

    /// What a store says as soon as it has been asked once.
    fn exceeds_lease(&self, plan: &Plan, bytes: u64) -> bool {
        let mut leased = self.books.iter().filter(|book| book.store.is_some());
        let exceeds = |tenant: usize| leased.any(|book| bytes > book.limits.lock().unwrap()[tenant]);
        plan.tenant.is_some_and(exceeds)
    }

    /// Whether there is a reason not to take it now.
    fn is_short(&self, guard: &Guard, plan: &Plan, before: &Standing, bytes: u64, reason: Reason) -> bool {
        let mut reports = guard.disks.iter().map(|&at| (at, &before.resources[at]));
        match reason {
            Reason::Space => reports.any(|(at, report)| {
                report.measured && (report.closed || report.headroom < need(&self.site.disk(at), bytes) as i64)
            }),
            Reason::Inodes => reports.any(|(_, report)| report.inodes_available.is_some()),
            Reason::Unmeasured => self.has_leases() || reports.any(|(_, report)| !report.measured && report.closed),
            Reason::Quota => plan.tenant.is_some_and(|tenant| {
                let books = self.books.iter().filter(|book| book.store.is_none());
                let mut accounts = books.zip(&before.accounts);
                accounts.any(|(book, (used, reserved))| {
                    used + reserved + bytes > book.limits.lock().unwrap()[book.account(tenant)]
                })
            }),
            Reason::UnknownTenant => plan.tenant.is_none(),
            Reason::LengthRequired => plan.claim.may_grow,
            _ => false,
        }
    }

    /// A body has just been cut off, after so many bytes and a frame of at least one more.
    pub(crate) fn judge_cut(&self, plan: &Plan, reason: Reason, relayed: u64) {
        let never = self.never(&self.layers[plan.layer], plan, relayed);
        let is_leased = self.has_leases();
        let words = || {
            format!(
                "#{} was cut off at {relayed}: {reason}; can it never fit? {never}",
                plan.number
            )
        };
        // What a store would say is not known here.
        self.site.check(is_permanent(reason) == never || is_leased, words);
    }

    /// The answer that the client gets.
    pub(crate) fn judge_answer<B>(&self, plan: &Plan, facts: &mut Facts, response: &Response<B>) {
        let wrong = |what: &str| {
            let status = response.status();
            self.site
                .wrong(|| format!("#{} is answered {status}, but {what}", plan.number));
        };
        facts.answers += 1;
        let decision = facts.decision.unwrap();
        let Some(refusal) = response.extensions().get::<Refusal>() else {
            self.site.count("answered: by the handler");
            if facts.cut.is_some() || matches!(decision, Decision::Refused(_)) {
                wrong("it was refused");
            }
            if response.extensions().get() != Some(&Number(plan.number)) {
                wrong("the answer is another request's");
            }
            facts.answer = Some(Answer::Handlers);
            let reported = response.extensions().get::<tower_storage_guard::Stored>();
            facts.concluded = Some((response.status(), reported.map(|stored| stored.0)));
            return;
        };
        facts.answer = Some(Answer::Refusal);
        let reason = refusal.reason();
        let status = match reason {
            reason if is_permanent(reason) => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Unmeasured => StatusCode::SERVICE_UNAVAILABLE,
            Reason::UnknownTenant => StatusCode::FORBIDDEN,
            Reason::LengthRequired => StatusCode::LENGTH_REQUIRED,
            _ => StatusCode::INSUFFICIENT_STORAGE,
        };
        if response.status() != status {
            wrong("the reason is another");
        }
        if is_permanent(reason) && response.headers().contains_key(RETRY_AFTER) {
            wrong("trying again is of no use");
        }
        match decision {
            Decision::Refused(decided) if decided == reason && !refusal.is_mid_stream() => {}
            Decision::Refused(_) => wrong("it was refused for another reason"),
            Decision::Open if !refusal.is_mid_stream() => {
                if plan.is_exempt() || !self.has_leases() {
                    wrong("nothing was asked");
                }
            }
            _ if facts.cut.is_some_and(|cut| cut == reason) => {}
            _ if facts.failure == Some(reason) => {
                // One user's limit and one file's say nothing about the disk.
                if is_permanent(reason) || reason == Reason::Quota {
                    return;
                }
                let mut reports = self.layers[plan.layer]
                    .disks
                    .iter()
                    .map(|&at| self.resources[at].report());
                if !reports.all(|report| report.closed || !report.measured) {
                    wrong("the next one will be let in");
                }
            }
            _ => wrong("it was let through and not cut off"),
        }
    }
}
