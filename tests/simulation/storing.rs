//! How handlers store what a request brings.

use std::{sync::Arc, task::Poll};

use tower_storage_guard::Reservation;

use crate::{
    file::{File, Full},
    handler::Planned,
    plan::{Plan, Style},
    site::{Fault, Site},
    upload::{Kept, Received},
};

/// A request in the hands of its handler.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) site: Arc<Site>,
    pub(crate) plan: Plan,
    pub(crate) disks: Arc<[usize]>,
    /// What may be unwritten when the handler asks for more.
    pub(crate) buffer: u64,
}

pub(crate) enum Failed {
    Full,
    Body,
}

impl From<Full> for Failed {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl Job {
    /// Keeps to the contract: when it asks for a frame, all but what it may keep is written.
    pub(crate) async fn store(&self, mut body: Received) -> Result<(), Failed> {
        let (site, plan) = (&*self.site, &self.plan);
        let keeps = match site.fault {
            Fault::HandlersKeepTooMuch => u64::MAX,
            _ if plan.writes_ahead => site.below(self.buffer.max(1)),
            _ => self.buffer,
        };
        let mut file = File::create(site, plan, &self.disks)?;
        let mut unwritten = 0;
        for frames in 0.. {
            while unwritten > keeps {
                unwritten -= file.write((unwritten - keeps).min(1 + site.below(1 << 20)))?;
                pause(1).await;
            }
            if frames > 0 {
                self.may_panic_at(frames);
            }
            match self.next(&mut body).await? {
                Some(bytes) => unwritten += bytes,
                None => break,
            }
            if plan.facts().handed > self.buffer.saturating_add(2 << 20) {
                site.count("closed early");
            }
        }
        // The client's body may go before all is written: the response is still due. One that was handed over may not.
        let body = (plan.style == Style::HandsOver || site.one_in(2)).then_some(body);
        pause(plan.ponders).await;
        self.write(file, unwritten).await?;
        drop(body);
        Ok(())
    }

    /// Collects the body. A task with a clone of the reservation writes it, whatever becomes of the request.
    pub(crate) async fn collect(&self, mut body: Received, handle: &Reservation) -> Result<(), Failed> {
        let mut bytes = 0;
        while let Some(more) = self.next(&mut body).await? {
            bytes += more;
            self.plan.facts().reserved = Some(handle.reserved());
        }
        let kept = Kept::new(handle, &self.plan);
        self.site.spawn(&self.plan, self.clone().write_later(bytes, kept));
        pause(self.site.below(30)).await;
        Ok(())
    }

    async fn write_later(self, bytes: u64, kept: Kept) {
        let kept = Some(kept).filter(|_| self.site.fault != Fault::HandlesAreDroppedEarly);
        pause(self.plan.ponders).await;
        if self.plan.facts().answer_is_over {
            let outlived = match self.plan.facts().answer {
                Some(_) => "handle: outlives the answer",
                None => "handle: outlives a request without answer",
            };
            self.site.count(outlived);
        }
        if let Ok(file) = File::create(&self.site, &self.plan, &self.disks) {
            let _ = self.write(file, bytes).await;
        }
        match kept {
            Some(kept) if self.site.fault == Fault::HandlesAreForgotten => kept.forget(),
            kept => drop(kept),
        }
    }

    /// Stores bytes that the body does not bring: a copy, or a file of the announced length.
    pub(crate) async fn add(&self, body: Received) -> Result<(), Failed> {
        let mut body = Some(body);
        if self.site.one_in(2) {
            body = None;
        }
        let mut file = File::create(&self.site, &self.plan, &self.disks)?;
        if self.plan.claim.copies == 0 {
            self.site.count("added: bytes that a hint announced");
            file.write(self.plan.adds)?;
        }
        pause(self.plan.ponders).await;
        self.may_panic();
        if self.plan.claim.copies > 0 {
            self.site.count("added: a copy");
            self.write(file, self.plan.adds).await?;
        } else {
            file.is_complete = true;
        }
        drop(body);
        Ok(())
    }

    /// Reads a part of the body and drops the rest.
    pub(crate) async fn store_a_part(&self, mut body: Received) -> Result<(), Failed> {
        let mut file = File::create(&self.site, &self.plan, &self.disks)?;
        // At least once: a handler that never asks has nothing to write.
        for _ in 0..1 + self.site.below(3) {
            match self.next(&mut body).await? {
                Some(bytes) => file.write(bytes)?,
                None => break,
            };
        }
        drop(body);
        pause(self.site.below(3)).await;
        Ok(())
    }

    /// Writes over as many bytes as come.
    pub(crate) async fn overwrite(&self, mut body: Received) -> Result<(), Failed> {
        while self.next(&mut body).await?.is_some() {}
        Ok(())
    }

    async fn next(&self, body: &mut Received) -> Result<Option<u64>, Failed> {
        let error = match body.next().await.transpose() {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        if let Some(refusal) = error.refusal() {
            self.site.count("cut off");
            self.site
                .say(|| format!("#{} is cut off: {}", self.plan.number, refusal.reason()));
            self.plan.facts().cut = Some(refusal.reason());
        }
        pause(self.site.below(3)).await;
        Err(Failed::Body)
    }

    async fn write(&self, mut file: File<'_>, mut bytes: u64) -> Result<(), Failed> {
        while bytes > 0 {
            bytes -= file.write(bytes.min(1 + self.site.below(1 << 20)))?;
            pause(1).await;
        }
        file.is_complete = true;
        Ok(())
    }

    /// Stores the body, or a part of it, while the client has its answer already.
    pub(crate) async fn store_beside(self, body: Received, kept: Option<Kept>) {
        let _ = if self.site.one_in(4) {
            self.store_a_part(body).await
        } else {
            self.store(body).await
        };
        self.keep(kept).await;
    }

    /// Keeps a reservation for a while.
    pub(crate) async fn keep(self, kept: Option<Kept>) {
        pause(self.plan.ponders).await;
        drop(kept);
    }

    fn may_panic_at(&self, frame: u32) {
        if self.plan.panics_at == Some(frame) {
            self.site.count("handler: panics");
            std::panic::resume_unwind(Box::new(Planned));
        }
    }

    pub(crate) fn may_panic(&self) {
        self.may_panic_at(1);
    }
}

/// Lets other tasks run, so many times.
pub(crate) async fn pause(mut times: u64) {
    std::future::poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
