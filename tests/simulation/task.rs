//! What is polled by hand: requests, and tasks that handlers spawn.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::plan::Plan;

pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    flag: Arc<Flag>,
    waker: Waker,
    /// The request that it works on.
    pub(crate) plan: Plan,
    /// Drives the request itself, and was not spawned by its handler.
    pub(crate) is_request: bool,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// How a poll ended.
pub(crate) enum Polled {
    Pending,
    Done,
    Panicked(Box<dyn Any + Send>),
}

impl Task {
    pub(crate) fn new(future: impl Future<Output = ()> + Send + 'static, plan: Plan, is_request: bool) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        plan.facts().tasks += 1;
        Self {
            future: Box::pin(future),
            waker: flag.clone().into(),
            flag,
            plan,
            is_request,
        }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.flag.0.load(Relaxed)
    }

    pub(crate) fn poll(&mut self) -> Polled {
        self.flag.0.store(false, Relaxed);
        let mut context = Context::from_waker(&self.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(())) => Polled::Done,
            Err(payload) => Polled::Panicked(payload),
        }
    }

    /// Drops the future. Returns how many wakers are kept all the same.
    pub(crate) fn end(self) -> usize {
        drop(self.future);
        drop(self.waker);
        Arc::strong_count(&self.flag) - 1
    }
}
