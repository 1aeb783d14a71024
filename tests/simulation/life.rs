//! What happens, step by step.

use std::sync::Arc;

use http::{Method, Request};
use http_body_util::BodyExt;
use tower::Service;
use tower_storage_guard::Reason;

use crate::{
    draw::{Draw, Drawn},
    handler::Planned,
    plan::{Claim, Decision, Facts, Plan},
    site::Fault,
    storing::pause,
    task::{Polled, Task},
    upload::Upload,
    world::{Rules, World},
};

/// So many requests are under way at most.
const CROWD: usize = 12;

impl World {
    pub(crate) fn step(self: &Arc<Self>) {
        self.site
            .clock
            .advance(std::time::Duration::from_millis(self.site.below(12)));
        match self.site.below(100) {
            0..=19 => self.arrive(),
            20..=69 => (0..1 + self.site.below(10)).for_each(|_| _ = self.poll_one()),
            70..=79 => self.sample(self.site.below(self.resources.len() as u64) as usize),
            80..=84 => self.others_write(),
            85 => self.abort(),
            // Now and then a lot of room becomes free, so that large bodies fit again.
            86 => (0..self.site.below(12)).for_each(|_| self.others_delete()),
            87..=90 if self.site.one_in(4) => self.reload_floor(),
            87..=90 if self.site.one_in(4) => self.reload_layer(),
            91 => self.reload_layer(),
            92 => self.break_or_mend(),
            93 | 94 => self.check_ages(),
            87..=90 | 95..=97 => _ = self.ask_stores(),
            98 => self.break_or_mend_stores(),
            _ => self.reload_limits(),
        }
    }

    /// Life goes on while a probe looks.
    pub(crate) fn meanwhile(&self, steps: u64) {
        for _ in 0..steps {
            self.site.count("requests while the probe looks");
            self.site
                .clock
                .advance(std::time::Duration::from_millis(self.site.below(30)));
            match self.site.below(20) {
                0..=14 => (0..1 + self.site.below(8)).for_each(|_| _ = self.poll_one()),
                15 => self.others_delete(),
                16 => self.abort(),
                17 => self.check_ages(),
                18 => _ = self.ask_stores(),
                _ => self.reload_floor(),
            }
        }
    }

    pub(crate) fn is_crowded(&self) -> bool {
        self.tasks.lock().unwrap().len() >= CROWD
    }

    fn arrive(self: &Arc<Self>) {
        if self.is_crowded() {
            return;
        }
        let site = &self.site;
        let number = self.plans.lock().unwrap().len();
        let rules: Vec<Rules> = self.layers.iter().map(|guard| *guard.rules.lock().unwrap()).collect();
        let edges = self.edges();
        let largest = site.disk(0).total * 2 / 3;
        let drawn = site.with_dice(|dice| {
            let mut draw = Draw {
                dice,
                rules: &rules,
                largest,
                edges: &edges,
                fault: site.fault,
            };
            draw.request(number)
        });
        let Drawn {
            mut plan,
            mut request,
            notes,
        } = drawn;
        if !self.books.is_empty() && site.one_in(8) {
            plan.method = Method::DELETE;
            (plan.claim, plan.adds) = (Claim::default(), 0);
            *request.method_mut() = Method::DELETE;
            request.extensions_mut().insert(plan.clone());
        } else {
            notes.into_iter().for_each(|what| site.count(what));
        }
        self.send(plan, request);
    }

    pub(crate) fn send(self: &Arc<Self>, plan: Plan, request: Request<Upload>) {
        let (site, number) = (&self.site, plan.number);
        let guard = &self.layers[plan.layer];
        let before = self.standing(&plan);
        let future = self.attribute(&plan, || guard.service.lock().unwrap().call(request));
        let decision = self.decision(&before, &plan);
        site.say(|| {
            let Plan {
                method,
                layer,
                claim,
                style,
                ..
            } = &plan;
            format!("#{number} {method} layer {layer} {claim:?} {style:?}: {decision:?}")
        });
        match decision {
            Decision::Refused(reason) => site.count(refused(reason.name())),
            Decision::Reported(_) => site.count("reported only"),
            Decision::Open if plan.method == Method::GET => site.count("exempt"),
            _ => {}
        }
        plan.facts().decision = Some(decision);
        self.judge(&plan, &before, decision);
        self.judge_holdings(&plan);
        self.plans.lock().unwrap().push(plan.clone());

        let (world, asked) = (Arc::downgrade(self), plan.clone());
        // Some clients are slow to read the answer.
        let rest = site.below(2) * site.below(4);
        let task = async move {
            let outcome = future.await;
            let Some(world) = world.upgrade() else { return };
            let Ok(response) = outcome else { return };
            world.judge_answer(&asked, &mut asked.facts(), &response);
            world
                .site
                .say(|| format!("#{} is answered {}", asked.number, response.status()));
            drop(world);
            let mut body = response.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            pause(rest).await;
        };
        self.tasks.lock().unwrap().push(Task::new(task, plan, true));
    }

    /// Where a byte more or less makes a difference now.
    fn edges(&self) -> Vec<u64> {
        let mut edges = Vec::new();
        for (resource, disk) in self.resources.iter().zip(&self.site.disks) {
            let disk = disk.lock().unwrap();
            edges.extend([
                resource.report().headroom.max(0).unsigned_abs(),
                disk.total.saturating_sub(disk.floor),
            ]);
        }
        edges.extend(self.layers.iter().map(|guard| guard.rules.lock().unwrap().maximum));
        for book in &self.books {
            let usage = book.ledger.usage(book.name(0));
            edges.extend([usage.available(), usage.limit.as_bytes().unwrap_or(0)]);
        }
        edges.retain(|&edge| edge < 32 << 20);
        edges
    }

    /// One that was woken, or now and then one that was not.
    pub(crate) fn poll_one(&self) -> bool {
        let task = {
            let mut tasks = self.tasks.lock().unwrap();
            let is_any = self.site.one_in(20);
            let ready: Vec<_> = (0..tasks.len()).filter(|&at| is_any || tasks[at].is_woken()).collect();
            if ready.is_empty() {
                return false;
            }
            tasks.swap_remove(ready[self.site.below(ready.len() as u64) as usize])
        };
        self.poll_task(task);
        true
    }

    fn poll_task(&self, mut task: Task) {
        let plan = task.plan.clone();
        let seen = |facts: &Facts| (facts.cut, facts.failure);
        let before = seen(&plan.facts());
        // A request that is admitted without a measurement may go too far.
        for (resource, disk) in self.resources.iter().zip(&self.site.disks) {
            let report = resource.report();
            disk.lock().unwrap().is_tainted |= !report.measured && !report.closed;
        }
        let closed = self.closed_disks();
        let polled = self.attribute(&plan, || task.poll());
        let after = seen(&plan.facts());
        if let (None, Some(reason)) = (before.0, after.0) {
            let relayed = plan.facts().client.sent;
            self.judge_cut(&plan, reason, relayed);
        }
        if let (None, Some(Reason::Quota | Reason::ExceedsCapacity)) = (before.1, after.1) {
            self.site.count("late failure: of one user or one file");
            let is_same = self.closed_disks() == closed;
            self.site
                .check(is_same, || format!("#{} closed a disk for others", plan.number));
        }
        let spawned = std::mem::take(&mut *self.site.spawned.lock().unwrap());
        self.tasks
            .lock()
            .unwrap()
            .extend(spawned.into_iter().map(|(plan, task)| Task::new(task, plan, false)));
        match polled {
            Polled::Pending => {
                self.judge_holdings(&plan);
                self.judge_body(&plan);
                self.tasks.lock().unwrap().push(task);
            }
            Polled::Done => self.finish(task),
            Polled::Panicked(payload) if payload.is::<Planned>() => self.finish(task),
            Polled::Panicked(payload) => {
                let words = payload.downcast_ref::<String>().cloned();
                let words = words.or_else(|| payload.downcast_ref::<&str>().map(|&words| words.to_owned()));
                self.site.wrong(|| format!("panic: {words:?}"));
                self.finish(task);
            }
        }
    }

    fn closed_disks(&self) -> Vec<bool> {
        self.resources.iter().map(|resource| resource.report().closed).collect()
    }

    pub(crate) fn finish(&self, task: Task) {
        let (plan, is_request) = (task.plan.clone(), task.is_request);
        let wakers = self.attribute(&plan, || task.end());
        let name = || format!("#{}{}", plan.number, if is_request { "" } else { "'s task" });
        self.site.say(|| format!("{} is over", name()));
        self.site
            .check(wakers == 0, || format!("{} left {wakers} wakers behind", name()));
        let mut facts = plan.facts();
        facts.tasks -= 1;
        facts.is_over = facts.tasks == 0;
        facts.answer_is_over |= is_request;
        drop(facts);
        self.judge_holdings(&plan);
        self.judge_body(&plan);
        self.settle_files();
    }

    /// Files of requests of which nothing is left may be deleted: the accounts know of them.
    fn settle_files(&self) {
        if self.books.is_empty() {
            return;
        }
        let plans = self.plans.lock().unwrap();
        let mut files = self.site.files.lock().unwrap();
        for file in files.iter_mut().filter(|file| file.charged == 0) {
            let Some((_, number)) = file.of else { continue };
            let facts = plans[number].facts();
            if facts.is_over {
                file.charged = facts.stored(&plans[number].claim).max(0).unsigned_abs();
                // Others may delete a file that no tenant is charged for.
                file.of = file.of.filter(|_| file.charged > 0);
            }
        }
    }

    fn abort(&self) {
        let task = {
            let mut tasks = self.tasks.lock().unwrap();
            let takes_any = self.site.one_in(6);
            let all: Vec<_> = (0..tasks.len())
                .filter(|&at| takes_any || tasks[at].is_request)
                .collect();
            if all.is_empty() {
                return;
            }
            tasks.swap_remove(all[self.site.below(all.len() as u64) as usize])
        };
        let mut facts = task.plan.facts();
        facts.is_aborted = true;
        self.site.count(match facts.answers {
            _ if !task.is_request => "abort: of a task",
            0 => "abort: before the answer",
            _ => "abort: of the response body",
        });
        drop(facts);
        self.site.say(|| format!("#{} is aborted", task.plan.number));
        self.finish(task);
    }

    pub(crate) fn sample(&self, at: usize) {
        if std::mem::replace(&mut self.site.disk(at).is_measured, true) {
            return;
        }
        let report = self.resources[at].sample_now().unwrap();
        self.site.disk(at).is_measured = false;
        self.site.say(|| {
            let (available, headroom, held) = (report.available, report.headroom, report.held);
            format!(
                "disk {at}: {available} free, headroom {headroom}, {held} held, {} unseen",
                report.unseen
            )
        });
    }

    fn others_write(&self) {
        let site = &self.site;
        let at = site.below(site.disks.len() as u64) as usize;
        let delay = site.delay(at);
        // When the headroom is negative already, only a part of the floor is left.
        let below = self.resources[at].report().headroom.min(0).unsigned_abs();
        let crowd = self.tasks.lock().unwrap().len() as u64;
        let mut disk = site.disk(at);
        let beyond = site.fault == Fault::OthersWriteTooMuch;
        let most = if beyond {
            disk.truly_free()
        } else {
            disk.floor.saturating_sub(below)
        };
        let bytes = disk.size_on_disk(site.below(most + 1));
        let is_within = disk.allows_others(bytes, below, crowd);
        if (is_within || beyond) && disk.take_for_others(bytes, site.now(), delay) {
            site.count("external write");
            site.say(|| format!("others write {bytes} to disk {at}"));
        }
    }

    fn others_delete(&self) {
        let site = &self.site;
        let at = site.below(site.disks.len() as u64) as usize;
        let foreign = site.disk(at).foreign_files.pop();
        if let Some(bytes) = foreign {
            site.free(at, bytes, 1);
            return;
        }
        // A file that no tenant is charged for.
        let mut files = site.files.lock().unwrap();
        if let Some(place) = files.iter().position(|file| file.of.is_none() || self.books.is_empty()) {
            let file = files.swap_remove(place);
            drop(files);
            site.count("deleted by others");
            site.delete(&file);
        }
    }
}

/// The name of a count.
fn refused(reason: &str) -> &'static str {
    let mut names = crate::EXPECTED
        .iter()
        .filter_map(|name| name.strip_prefix("refused: ").map(|end| (end, *name)));
    names
        .find_map(|(end, name)| (end == reason).then_some(name))
        .unwrap_or("refused")
}
