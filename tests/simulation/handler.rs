//! The service behind the guard: stores bodies on simulated disks, by a plan.

use std::{
    future::Future,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use tower::{BoxError, Service};
use tower_storage_guard::{
    Guarded, Reservation, StorageFailure, Stored as Reported, WriteBuffer, test_util::ScriptedBody,
};

use crate::{
    plan::{Plan, Style},
    site::{Site, Stored},
    storing::{Failed, Job, pause},
    upload::{Kept, Received, Upload},
    world::Rules,
};

/// The payload of a planned panic.
pub(crate) struct Planned;

#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) site: Arc<Site>,
    pub(crate) disks: Arc<[usize]>,
    pub(crate) rules: Arc<Mutex<Rules>>,
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
        let (parts, body) = request.into_parts();
        let plan = parts.extensions.get::<Plan>().unwrap().clone();
        // The limits of this moment are those that the request was admitted by.
        let job = Job::new(self, plan);
        let body = Received::new(body, &job.plan);
        Box::pin(async move {
            let handle = parts.extensions.get::<Reservation>();
            job.handle(body, handle).await
        })
    }
}

impl Job {
    async fn handle(&self, body: Received, handle: Option<&Reservation>) -> Reply {
        let plan = &self.plan;
        match (plan.method.as_str(), plan.style, handle) {
            ("GET", ..) => Ok(self.response(StatusCode::OK)),
            ("DELETE", ..) => Ok(self.delete()),
            (_, Style::Ignores, _) => {
                drop(body);
                pause(1).await;
                self.site.count("answered: before the body was read");
                Ok(self.response(plan.status))
            }
            (_, Style::HandsOver, handle) => {
                self.site.count("answered: while the body is read on");
                let kept = handle.filter(|_| self.site.one_in(2));
                let kept = kept.map(|handle| Kept::new(handle, plan));
                self.site.spawn(plan, self.clone().store_beside(body, kept));
                Ok(self.response(plan.status))
            }
            (_, Style::Adds, _) => self.conclude(self.add(body).await),
            (_, Style::Stops, handle) => {
                let outcome = self.store_a_part(body).await;
                if outcome.is_ok() {
                    self.site.count("body dropped early: no refusal");
                }
                if let Some(handle) = handle.filter(|_| self.site.one_in(2)) {
                    self.site.count("body dropped early: the handle is kept");
                    let kept = Kept::new(handle, plan);
                    self.site.spawn(plan, self.clone().keep(Some(kept)));
                }
                self.conclude(outcome)
            }
            (_, Style::Fails, _) => match self.store_a_part(body).await {
                Ok(()) => self.fail(self.draw_failure()),
                failed => self.conclude(failed),
            },
            (_, Style::WritesLater, Some(handle)) if self.buffer == u64::MAX => {
                let outcome = self.collect(body, handle).await;
                if outcome.is_ok() {
                    self.may_panic();
                }
                self.conclude(outcome)
            }
            (_, Style::Overwrites, _) => {
                let outcome = self.overwrite(body).await;
                let mut reply = self.conclude(outcome);
                if let Ok(response) = &mut reply {
                    response.extensions_mut().insert(Reported(0));
                }
                reply
            }
            (_, Style::Stores | Style::WritesLater, _) => self.conclude(self.store(body).await),
        }
    }

    fn conclude(&self, outcome: Result<(), Failed>) -> Reply {
        let (site, plan) = (&self.site, &self.plan);
        match outcome {
            Ok(()) => {
                let mut response = self.response(plan.status);
                if let Some(less) = plan.reports_less {
                    site.count("handler: reports what it stored");
                    let stored = plan.facts().handed.max(plan.claim.adds).saturating_sub(less);
                    response.extensions_mut().insert(Reported::new(stored));
                }
                Ok(response)
            }
            Err(Failed::Full) => {
                site.count("late failure");
                self.fail(ErrorKind::StorageFull)
            }
            Err(Failed::Body) if site.one_in(2) => {
                site.count("handler: fails");
                Err("the body failed".into())
            }
            // Some handlers make a success of it.
            Err(Failed::Body) => Ok(self.response(plan.status)),
        }
    }

    fn draw_failure(&self) -> ErrorKind {
        match self.site.below(6) {
            0 => ErrorKind::QuotaExceeded,
            1 => ErrorKind::FileTooLarge,
            2 => ErrorKind::ReadOnlyFilesystem,
            _ => ErrorKind::StorageFull,
        }
    }

    /// Reports that the storage failed, as an error or with a response.
    fn fail(&self, kind: ErrorKind) -> Reply {
        let error = io::Error::from(kind);
        let failure = StorageFailure::from_error(&error).unwrap();
        self.plan.facts().failure = Some(failure.reason());
        self.site.say(|| format!("#{} fails: {kind:?}", self.plan.number));
        if self.site.one_in(2) {
            return Err(error.into());
        }
        let mut response = self.response(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(failure);
        Ok(response)
    }

    /// Deletes a file of the tenant that is on its account already.
    fn delete(&self) -> Response<ScriptedBody> {
        let mut response = self.response(StatusCode::NO_CONTENT);
        let mut files = self.site.files.lock().unwrap();
        let own = |file: &Stored| file.charged > 0 && file.of.map(|(tenant, _)| tenant) == self.plan.tenant;
        if let Some(place) = files.iter().position(own) {
            let file = files.swap_remove(place);
            drop(files);
            self.site.delete(&file);
            self.site.count("deleted");
            response.extensions_mut().insert(Reported::freed(file.charged));
        }
        response
    }

    fn response(&self, status: StatusCode) -> Response<ScriptedBody> {
        let mut body = ScriptedBody::new();
        for _ in 0..self.site.below(3) {
            body = body.data(100).pause();
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        // The client checks that it gets the answer to its own request.
        response.extensions_mut().insert(Number(self.plan.number));
        response
    }

    fn new(handler: &Handler, plan: Plan) -> Self {
        let buffer = match handler.rules.lock().unwrap().buffer {
            WriteBuffer::Bytes(bytes) => bytes,
            WriteBuffer::Whole => u64::MAX,
        };
        plan.facts().buffer = buffer;
        Self {
            site: handler.site.clone(),
            disks: handler.disks.clone(),
            buffer,
            plan,
        }
    }
}

/// Which request a response is for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) usize);
