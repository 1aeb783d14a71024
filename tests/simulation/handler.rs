//! The service behind the guard: stores bodies on simulated disks, by a plan.

use std::{
    future::Future,
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tower::{BoxError, Service};
use tower_storage_guard::{Guarded, StorageFailure, Stored as Told, test_util::ScriptedBody};

use crate::{
    plan::{Plan, Stop, Style, Upload},
    site::{Site, Stored},
};

/// What a handler panics with when it is meant to.
pub(crate) struct Planned;

#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) site: Arc<Site>,
    pub(crate) disks: Arc<[usize]>,
}

type Reply = Result<Response<ScriptedBody>, BoxError>;

impl Service<Request<Guarded<Upload>>> for Handler {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Guarded<Upload>>) -> Self::Future {
        Box::pin(handle(self.clone(), request))
    }
}

async fn handle(handler: Handler, request: Request<Guarded<Upload>>) -> Reply {
    let (parts, body) = request.into_parts();
    let plan = parts.extensions.get::<Plan>().unwrap().clone();
    let Handler { site, disks } = handler;
    if plan.method == Method::GET {
        return Ok(response(&site, &plan, StatusCode::OK));
    }
    if plan.method == Method::DELETE {
        return Ok(delete(&site, &plan));
    }
    let stored = match plan.style {
        Style::Ignores => {
            drop(body);
            pause().await;
            site.count("answered: before the body was read");
            return Ok(response(&site, &plan, plan.status));
        }
        Style::HandsOver => {
            site.count("answered: while the body is read on");
            let (site_too, plan_too) = (site.clone(), plan.clone());
            let storing = async move {
                let _ = store(&site_too, &plan_too, disks, body).await;
            };
            site.spawned.lock().unwrap().push(Box::pin(storing));
            return Ok(response(&site, &plan, plan.status));
        }
        Style::Stores if plan.writes_in_task => store_in_task(&site, &plan, disks, body).await,
        Style::Stores => store(&site, &plan, disks, body).await,
        Style::Copies => copy(&site, &plan, disks, body).await,
    };
    match stored {
        Ok(()) => {
            let mut response = response(&site, &plan, plan.status);
            if let Some(less) = plan.tells_less {
                site.count("handler: tells what it stored");
                let facts = plan.facts.lock().unwrap();
                let stored = facts.handed.max(facts.copied).saturating_sub(less);
                response.extensions_mut().insert(Told::new(stored));
            }
            Ok(response)
        }
        Err(Failed::Full) => {
            site.count("late failure");
            plan.facts.lock().unwrap().told_full = true;
            fails_with(ErrorKind::StorageFull, &site, &plan)
        }
        Err(Failed::Quota) => {
            site.count("late failure: quota");
            plan.facts.lock().unwrap().told_quota = true;
            fails_with(ErrorKind::QuotaExceeded, &site, &plan)
        }
        Err(Failed::Body) if site.one_in(2) => {
            site.count("handler: fails");
            Err("the body failed".into())
        }
        // Some make a success of it.
        Err(Failed::Body) => Ok(response(&site, &plan, plan.status)),
    }
}

enum Failed {
    Full,
    Quota,
    Body,
}

/// As its error, or in a response of its own.
fn fails_with(kind: ErrorKind, site: &Site, plan: &Plan) -> Reply {
    let error = io::Error::from(kind);
    if site.one_in(2) {
        return Err(error.into());
    }
    let mut response = response(site, plan, StatusCode::INTERNAL_SERVER_ERROR);
    let failure = StorageFailure::from_error(&error).unwrap();
    response.extensions_mut().insert(failure);
    Ok(response)
}

/// Keeps to the contract: when it asks for a frame, all but what it may keep is written.
async fn store(site: &Site, plan: &Plan, disks: Arc<[usize]>, body: Guarded<Upload>) -> Result<(), Failed> {
    let mut body = body;
    let mut file = File::create(site, plan, &disks)?;
    let (mut unwritten, mut frames) = (0, 0);
    loop {
        while unwritten > plan.keeps {
            unwritten -= file.write((unwritten - plan.keeps).min(1 + site.below(1 << 20)))?;
            pause().await;
        }
        if plan.panics_at == Some(frames) && frames > 0 {
            site.count("handler: panics");
            std::panic::resume_unwind(Box::new(Planned));
        }
        if let Some((_, stop)) = plan.stops_at.filter(|&(at, _)| at == frames) {
            site.count("stops while the client sends");
            // The body goes first, and then the file.
            drop(body);
            pause().await;
            return Err(match stop {
                Stop::Full => Failed::Full,
                Stop::Quota => Failed::Quota,
            });
        }
        frames += 1;
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                unwritten += bytes;
                let mut facts = plan.facts.lock().unwrap();
                facts.handed += bytes;
                if facts.handed > plan.buffer.saturating_add(2 << 20) {
                    site.count("closed early");
                }
            }
            Some(Err(error)) => {
                if let Some(refusal) = error.refusal() {
                    site.count("cut off");
                    site.say(|| format!("#{} is cut off: {}", plan.number, refusal.reason()));
                    plan.facts.lock().unwrap().cut = Some(refusal.clone());
                }
                return Err(Failed::Body);
            }
        }
    }
    // The client's body may go before all is written: the response is still due. One that was handed over may not.
    let body = (plan.style == Style::HandsOver || site.one_in(2)).then_some(body);
    for _ in 0..plan.ponders {
        pause().await;
    }
    file.write_all(unwritten).await?;
    file.is_complete = true;
    drop(file);
    drop(body);
    Ok(())
}

/// Collects the body, and waits for a task that writes it.
async fn store_in_task(
    site: &Arc<Site>,
    plan: &Plan,
    disks: Arc<[usize]>,
    mut body: Guarded<Upload>,
) -> Result<(), Failed> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            plan.facts.lock().unwrap().cut = error.refusal().cloned();
            Failed::Body
        })?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        plan.facts.lock().unwrap().handed = bytes;
    }
    let (done, is_done) = oneshot::channel();
    let (site_too, plan_too) = (site.clone(), plan.clone());
    let writing = async move {
        let _ = done.send(write_all(&site_too, &plan_too, &disks, bytes).await);
    };
    site.spawned.lock().unwrap().push(Box::pin(writing));
    is_done.await.unwrap_or(Err(Failed::Body))
}

async fn write_all(site: &Site, plan: &Plan, disks: &[usize], bytes: u64) -> Result<(), Failed> {
    let mut file = File::create(site, plan, disks)?;
    for _ in 0..plan.ponders {
        pause().await;
    }
    file.write_all(bytes).await?;
    file.is_complete = true;
    Ok(())
}

/// Writes what is not in the body, which it may drop before.
async fn copy(site: &Site, plan: &Plan, disks: Arc<[usize]>, body: Guarded<Upload>) -> Result<(), Failed> {
    let body = site.one_in(2).then_some(body);
    let mut file = File::create(site, plan, &disks)?;
    let left = plan.copies.unwrap_or(0);
    plan.facts.lock().unwrap().copied = left;
    file.write_all(left).await?;
    file.is_complete = true;
    drop(file);
    drop(body);
    Ok(())
}

/// A file that is being written. What is left of it when it is dropped stays, or is removed.
struct File<'a> {
    site: &'a Site,
    plan: &'a Plan,
    stored: Option<Stored>,
    is_complete: bool,
}

impl<'a> File<'a> {
    fn create(site: &'a Site, plan: &'a Plan, disks: &[usize]) -> Result<Self, Failed> {
        let mut stored = Stored {
            disks: Vec::new(),
            bytes: 0,
            beside: Vec::new(),
            of: None,
            charged: 0,
        };
        let mut failed = false;
        for &at in disks {
            let block = u64::from(site.disk(at).block);
            let beside = if block > 1 && site.one_in(4) { block } else { 0 };
            if site.take(at, beside, 1).is_err() {
                failed = true;
                break;
            }
            stored.disks.push(at);
            stored.beside.push(beside);
        }
        let file = Self {
            site,
            plan,
            stored: Some(stored),
            is_complete: false,
        };
        if failed { Err(Failed::Full) } else { Ok(file) }
    }

    /// In pieces, between which others have their turn.
    async fn write_all(&mut self, bytes: u64) -> Result<(), Failed> {
        let mut left = bytes;
        while left > 0 {
            left -= self.write(left.min(1 + self.site.below(1 << 20)))?;
            pause().await;
        }
        Ok(())
    }

    /// The same on all disks, as far as each has room.
    fn write(&mut self, bytes: u64) -> Result<u64, Failed> {
        let stored = self.stored.as_mut().unwrap();
        for (place, &at) in stored.disks.iter().enumerate() {
            let disk = self.site.disk(at);
            let more = disk.size_on_disk(stored.bytes + bytes) - disk.size_on_disk(stored.bytes);
            drop(disk);
            if self.site.take(at, more, 0).is_err() {
                // What is on the disks before this one goes again, so that the copies stay alike.
                for &at in &stored.disks[..place] {
                    let disk = self.site.disk(at);
                    let more = disk.size_on_disk(stored.bytes + bytes) - disk.size_on_disk(stored.bytes);
                    drop(disk);
                    self.site.free(at, more, 0);
                }
                return Err(Failed::Full);
            }
        }
        stored.bytes += bytes;
        Ok(bytes)
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        let mut stored = self.stored.take().unwrap();
        if self.is_complete {
            stored.of = self.plan.tenant.map(|tenant| (tenant, self.plan.number));
        } else if self.plan.removes_partial {
            self.site.delete(&stored);
            return;
        }
        self.site.files.lock().unwrap().push(stored);
    }
}

/// Deletes a file of the tenant's, of which the accounts know already.
fn delete(site: &Site, plan: &Plan) -> Response<ScriptedBody> {
    let mut response = response(site, plan, StatusCode::NO_CONTENT);
    let mut files = site.files.lock().unwrap();
    let own = |file: &Stored| file.charged > 0 && file.of.map(|(tenant, _)| tenant) == plan.tenant;
    if let Some(place) = files.iter().position(own) {
        let file = files.swap_remove(place);
        drop(files);
        site.delete(&file);
        site.count("deleted");
        response.extensions_mut().insert(Told::freed(file.charged));
    }
    response
}

fn response(site: &Site, plan: &Plan, status: StatusCode) -> Response<ScriptedBody> {
    let mut body = ScriptedBody::new();
    for _ in 0..site.below(3) {
        body = body.data(100).pause();
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // For whoever checks that this is what the client gets.
    response.extensions_mut().insert(Number(plan.number));
    response
}

/// Which request a response is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) usize);

/// Others have their turn.
async fn pause() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
