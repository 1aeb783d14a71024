//! What is polled by hand: requests and what handlers leave running.

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
    /// Of a request; none of what goes on in the background.
    pub(crate) plan: Option<Plan>,
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
    pub(crate) fn new(future: impl Future<Output = ()> + Send + 'static, plan: Option<Plan>) -> Self {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self {
            future: Box::pin(future),
            waker: flag.clone().into(),
            flag,
            plan,
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

    /// Lets go of the future. Tells how many wakers somebody kept all the same.
    pub(crate) fn end(self) -> usize {
        drop(self.future);
        drop(self.waker);
        Arc::strong_count(&self.flag) - 1
    }
}
