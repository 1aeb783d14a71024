//! What happens, step by step.

use std::{sync::Arc, time::Duration};

use http::{Method, Request};
use http_body_util::BodyExt;
use tower::Service;
use tower_storage_guard::Refusal;

use crate::{
    handler::Planned,
    plan::{self, Decision, Plan, Upload},
    site::Fault,
    task::{Polled, Task},
    world::World,
};

/// So many requests are under way at most.
const CROWD: usize = 12;

/// Between two measurements under steady traffic.
pub(crate) const STEADY: Duration = Duration::from_millis(11);

impl World {
    pub(crate) fn step(self: &Arc<Self>) {
        let time = match self.habits.drips {
            true => STEADY,
            false => Duration::from_millis(self.site.below(12)),
        };
        self.site.clock.advance(time);
        if self.habits.drips {
            self.drip();
            self.sample(0);
        }
        match self.site.below(100) {
            0..=19 => self.arrive(),
            20..=69 => (0..1 + self.site.below(10)).for_each(|_| _ = self.poll_one()),
            70..=79 => self.sample(self.site.below(self.resources.len() as u64) as usize),
            80..=84 => self.others_write(),
            85 => self.abort(),
            // Now and then somebody makes a lot of room, so that large bodies come in again.
            86 => (0..self.site.below(12)).for_each(|_| self.others_delete()),
            87..=90 if self.site.one_in(4) => self.reload_floor(),
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
            self.site.clock.advance(Duration::from_millis(self.site.below(30)));
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

    fn arrive(self: &Arc<Self>) {
        if self.tasks.lock().unwrap().len() >= CROWD {
            return;
        }
        let site = &self.site;
        let number = self.plans.lock().unwrap().len();
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|guard| plan::Terms {
                buffer: guard.rules.lock().unwrap().buffer,
                classifies: guard.classifies,
            })
            .collect();
        let edges = self.edges();
        let largest = site.disks[0].lock().unwrap().total * 2 / 3;
        let (mut plan, mut request, notes) =
            site.with_dice(|dice| plan::draw(dice, number, &layers, largest, &edges, self.habits, site.fault));
        if !self.books.is_empty() && plan.copies.is_none() && site.one_in(8) {
            plan.method = Method::DELETE;
            *request.method_mut() = Method::DELETE;
            request.extensions_mut().insert(plan.clone());
        }
        notes.into_iter().for_each(|what| site.count(what));
        self.begin(plan, request);
    }

    /// Sends a byte to the first disk, and sees it through.
    fn drip(self: &Arc<Self>) {
        let Some(layer) = self.layers.iter().position(|guard| guard.disks.contains(&0)) else {
            return;
        };
        self.site.count("steady traffic on a lagging disk");
        let number = self.plans.lock().unwrap().len();
        let (plan, request) = plan::drip(number, layer);
        self.begin(plan, request);
        for _ in 0..50 {
            let mut tasks = self.tasks.lock().unwrap();
            let own = tasks
                .iter()
                .position(|task| task.plan.as_ref().is_some_and(|plan| plan.number == number));
            let Some(at) = own else { return };
            let task = tasks.swap_remove(at);
            drop(tasks);
            self.poll_task(task);
        }
    }

    fn begin(self: &Arc<Self>, plan: Plan, request: Request<Upload>) {
        let site = &self.site;
        let guard = &self.layers[plan.layer];
        let before = self.standing(&plan);
        let future = guard.service.lock().unwrap().call(request);
        let decision = self.decision(&before, &plan);
        site.say(|| {
            let (number, method, layer, length) = (plan.number, &plan.method, plan.layer, plan.length);
            format!(
                "#{number} {method} layer {layer} {length:?} {:?}: {decision:?}",
                plan.style
            )
        });
        match decision {
            Decision::Refused(reason) => site.count(refused(reason.name())),
            Decision::Reported(_) => site.count("reported only"),
            Decision::Open if plan.method == Method::GET => site.count("exempt"),
            _ => {}
        }
        let minimum = guard.rules.lock().unwrap().minimum;
        self.facts(&plan, |facts| {
            (facts.decision, facts.minimum) = (Some(decision), minimum)
        });
        self.judge(&plan, &before, decision);
        self.plans.lock().unwrap().push(plan.clone());

        let (world, asked) = (Arc::downgrade(self), plan.clone());
        let task = async move {
            let outcome = future.await;
            let Some(world) = world.upgrade() else { return };
            let Ok(response) = outcome else { return };
            world.facts(&asked, |facts| world.judge_answer(&asked, facts, &response));
            world
                .site
                .say(|| format!("#{} is answered {}", asked.number, response.status()));
            drop(world);
            let mut body = response.into_body();
            while let Some(Ok(_)) = body.frame().await {}
        };
        self.tasks.lock().unwrap().push(Task::new(task, Some(plan)));
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
        let cut = |task: &Task| {
            let facts = task.plan.as_ref()?.facts.lock().unwrap();
            facts.cut.as_ref().map(Refusal::reason)
        };
        let before = cut(&task);
        // Who goes on without knowing may go on too far.
        for (resource, disk) in self.resources.iter().zip(&self.site.disks) {
            let report = resource.report();
            disk.lock().unwrap().is_tainted |= !report.measured && !report.closed;
        }
        let plan = task.plan.clone();
        let open = self.open();
        let polled = self.noting(plan.as_ref(), || task.poll());
        self.judge_closed_gates(&open, plan.as_ref());
        if let (None, Some(reason), Some(plan)) = (before, cut(&task), &task.plan) {
            let relayed = self.facts(plan, |facts| facts.sent);
            self.judge_cut(plan, reason, relayed);
        }
        let spawned = std::mem::take(&mut *self.site.spawned.lock().unwrap());
        self.tasks
            .lock()
            .unwrap()
            .extend(spawned.into_iter().map(|future| Task::new(future, None)));
        match polled {
            Polled::Pending => self.tasks.lock().unwrap().push(task),
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

    pub(crate) fn finish(&self, task: Task) {
        let plan = task.plan.clone();
        let wakers = self.noting(plan.as_ref(), || task.end());
        let name = || {
            plan.as_ref()
                .map_or("a task".to_owned(), |plan| format!("#{}", plan.number))
        };
        self.site.say(|| format!("{} is over", name()));
        self.site
            .check(wakers == 0, || format!("{} left {wakers} wakers behind", name()));
        if let Some(plan) = &plan {
            self.facts(plan, |facts| facts.is_over = true);
            self.judge_closed(plan);
        }
        self.settle_files();
    }

    /// Files of requests of which nothing is left may be deleted: the accounts know of them.
    fn settle_files(&self) {
        if self.books.is_empty() {
            return;
        }
        let plans = self.plans.lock().unwrap();
        for file in self
            .site
            .files
            .lock()
            .unwrap()
            .iter_mut()
            .filter(|file| file.charged == 0)
        {
            if let Some((_, number)) = file.of {
                file.charged = self.facts(&plans[number], |facts| {
                    if facts.is_over && facts.body_is_gone {
                        facts.charged().max(0).unsigned_abs()
                    } else {
                        0
                    }
                });
            }
        }
    }

    fn abort(&self) {
        let task = {
            let mut tasks = self.tasks.lock().unwrap();
            let requests: Vec<_> = (0..tasks.len()).filter(|&at| tasks[at].plan.is_some()).collect();
            if requests.is_empty() {
                return;
            }
            tasks.swap_remove(requests[self.site.below(requests.len() as u64) as usize])
        };
        let answers = task
            .plan
            .as_ref()
            .map_or(0, |plan| self.facts(plan, |facts| facts.answers));
        self.site.count(if answers == 0 {
            "abort: before the answer"
        } else {
            "abort: of the response body"
        });
        self.site
            .say(|| format!("#{} is aborted", task.plan.as_ref().map_or(0, |plan| plan.number)));
        self.finish(task);
    }

    pub(crate) fn sample(&self, at: usize) {
        if std::mem::replace(&mut self.site.disk(at).is_measured, true) {
            return;
        }
        let (began, failures) = (self.site.now(), self.resources[at].report().probe_failures);
        self.note_sample(at);
        let report = self.resources[at].sample_now().unwrap();
        self.site.disk(at).is_measured = false;
        if self.site.fault == Fault::None && report.probe_failures == failures {
            self.judge_unseen(at, began, report.unseen);
        }
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
        // What nobody is charged for any more.
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

impl plan::Facts {
    /// What the request has changed on its tenants' accounts.
    pub(crate) fn charged(&self) -> i64 {
        match self.concluded {
            Some((_, Some(told))) => told,
            Some((status, None)) if status.is_success() => self.handed.max(self.copied) as i64,
            _ => 0,
        }
    }
}
