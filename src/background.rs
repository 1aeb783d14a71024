//! The thread `guard-background`: everything that has to happen later, away from requests.
//!
//! The thread starts with the first registration and ends when nothing is left to do. It looks for what is due every
//! [`TICK`], so that a registration is a short lock and wakes nobody.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

#[cfg(feature = "tokio")]
pub(crate) use deadline::Deadline;

/// The distance between two looks, and the resolution of all times here.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Work that repeats until its owner is dropped.
pub(crate) trait Periodic: Send + Sync {
    /// Does the work once.
    fn tick(&self);
}

/// Something that stays alive for as long as it is needed.
pub(crate) trait Kept: Send {
    /// Returns whether it is still needed. Called under the registry's lock: must not register anything.
    fn is_needed(&self) -> bool;
}

/// Ticks the task every `period`, until it is dropped. The first tick comes after one period.
pub(crate) fn every<T: Periodic + 'static>(period: Duration, task: &Arc<T>) {
    let task: Weak<T> = Arc::downgrade(task);
    let due = Instant::now() + period;
    register(|registry| registry.periodic.push(Schedule { task, period, due }));
}

/// Keeps the value, and drops it at the first tick that finds it no longer needed.
pub(crate) fn keep_until(kept: Box<dyn Kept>) {
    register(|registry| registry.kept.push(kept));
}

struct Schedule {
    task: Weak<dyn Periodic>,
    period: Duration,
    due: Instant,
}

/// The waker of a pending [`Deadline`]; `None` once the deadline has passed.
type WakerSlot = Mutex<Option<Waker>>;

struct Registry {
    periodic: Vec<Schedule>,
    deadlines: Vec<(Instant, Weak<WakerSlot>)>,
    kept: Vec<Box<dyn Kept>>,
    is_running: bool,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Adds something and makes sure that the thread runs. `false` if it does not.
fn register(add: impl FnOnce(&mut Registry)) -> bool {
    let mut registry = lock(&REGISTRY);
    add(&mut registry);
    if !registry.is_running {
        // If the machine has no thread to give, the next registration tries again.
        registry.is_running = thread::Builder::new()
            .name("guard-background".to_owned())
            .spawn(run)
            .is_ok();
    }
    registry.is_running
}

fn run() {
    let mut is_running = true;
    while is_running {
        thread::sleep(TICK);
        let mut registry = lock(&REGISTRY);
        let due = registry.take_due(Instant::now());
        is_running = !registry.is_empty();
        registry.is_running = is_running;
        drop(registry);
        due.run();
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            periodic: Vec::new(),
            deadlines: Vec::new(),
            kept: Vec::new(),
            is_running: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.periodic.is_empty() && self.deadlines.is_empty() && self.kept.is_empty()
    }

    /// Takes out what is due, and forgets what was dropped. Runs and drops nothing itself, because whatever runs or drops
    /// may register something.
    fn take_due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        self.periodic.retain_mut(|schedule| {
            if schedule.due <= now {
                // After the machine has slept, missed ticks are not made up for.
                schedule.due = (schedule.due + schedule.period).max(now);
                due.tasks.extend(schedule.task.upgrade());
            }
            schedule.task.strong_count() > 0
        });
        self.deadlines.retain(|(time, slot)| {
            if *time <= now {
                due.wakers.extend(slot.upgrade().and_then(|slot| lock(&slot).take()));
            }
            *time > now && slot.strong_count() > 0
        });
        (self.kept, due.unneeded) = mem::take(&mut self.kept).into_iter().partition(|kept| kept.is_needed());
        due
    }
}

#[derive(Default)]
struct Due {
    wakers: Vec<Waker>,
    tasks: Vec<Arc<dyn Periodic>>,
    unneeded: Vec<Box<dyn Kept>>,
}

impl Due {
    fn run(self) {
        for waker in self.wakers {
            isolate(|| waker.wake());
        }
        for task in self.tasks {
            isolate(|| task.tick());
        }
        for kept in self.unneeded {
            isolate(|| drop(kept));
        }
    }
}

/// Keeps a panic in a caller's code (an observer, a recorder, a waker) from ending the thread.
fn isolate(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked here is sound after any assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "tokio")]
mod deadline {
    use std::{
        pin::Pin,
        sync::{Arc, Mutex},
        task::{Context, Poll},
        time::{Duration, Instant},
    };

    use super::{WakerSlot, lock, register};

    /// A future that completes at the first tick after its time. Needs no timer of the runtime.
    #[derive(Debug)]
    pub(crate) struct Deadline {
        time: Instant,
        slot: Option<Arc<WakerSlot>>,
    }

    impl Deadline {
        pub(crate) fn after(delay: Duration) -> Self {
            /// What any clock can add. No deadline is further away.
            const FAR: Duration = Duration::from_secs(1 << 30);
            Self {
                time: Instant::now() + delay.min(FAR),
                slot: None,
            }
        }
    }

    impl Future for Deadline {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if let Some(slot) = &self.slot {
                return match &mut *lock(slot) {
                    Some(waker) => {
                        waker.clone_from(context.waker());
                        Poll::Pending
                    }
                    None => Poll::Ready(()),
                };
            }
            let slot = Arc::new(Mutex::new(Some(context.waker().clone())));
            let entry = (self.time, Arc::downgrade(&slot));
            self.slot = Some(slot);
            // Without a thread no deadline would ever pass.
            if register(|registry| registry.deadlines.push(entry)) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Periodic for Count {
        fn tick(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    impl Registry {
        fn tick(&mut self, now: Instant) {
            self.take_due(now).run();
        }
    }

    #[test]
    fn tasks_tick_once_a_period_until_dropped() {
        let start = Instant::now();
        let task = Arc::new(Count::default());
        let weak = Arc::downgrade(&task);
        let mut registry = Registry::new();
        registry.periodic.push(Schedule {
            task: weak,
            period: 10 * TICK,
            due: start + 10 * TICK,
        });
        for tick in 1..=35 {
            registry.tick(start + tick * TICK);
        }
        assert_eq!(task.0.load(Relaxed), 3);
        registry.tick(start + 1000 * TICK);
        registry.tick(start + 1001 * TICK);
        registry.tick(start + 1002 * TICK);
        assert_eq!(task.0.load(Relaxed), 5, "missed ticks are not made up for");
        assert!(!registry.is_empty());
        drop(task);
        registry.tick(start + 1003 * TICK);
        assert!(registry.is_empty());
    }

    #[test]
    fn deadlines_wake_once_and_are_forgotten_when_dropped() {
        let start = Instant::now();
        let slots = [(); 3].map(|()| Arc::new(Mutex::new(Some(Waker::noop().clone()))));
        let mut registry = Registry::new();
        for (delay, slot) in (1..).zip(&slots) {
            registry.deadlines.push((start + delay * TICK, Arc::downgrade(slot)));
        }
        let passed = || slots.each_ref().map(|slot| lock(slot).is_none());
        registry.tick(start);
        assert_eq!(passed(), [false; 3]);
        registry.tick(start + 2 * TICK);
        assert_eq!((passed(), registry.deadlines.len()), ([true, true, false], 1));
        drop(slots);
        registry.tick(start + 2 * TICK);
        assert!(registry.is_empty());
    }

    struct Owner(Arc<()>);

    impl Kept for Owner {
        fn is_needed(&self) -> bool {
            Arc::strong_count(&self.0) > 1
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            // What is dropped may register again, so it must not be dropped under the lock.
            assert!(register(|_| ()));
        }
    }

    #[test]
    fn kept_values_are_dropped_when_unneeded() {
        let user = Arc::new(());
        let watch = Arc::downgrade(&user);
        keep_until(Box::new(Owner(user.clone())));
        thread::sleep(3 * TICK);
        assert_eq!(watch.strong_count(), 2);
        drop(user);
        while watch.strong_count() > 0 {
            thread::sleep(TICK);
        }
    }

    #[test]
    fn a_panic_ends_nothing() {
        struct Panics;
        impl Periodic for Panics {
            fn tick(&self) {
                panic!("a recorder's fault");
            }
        }
        #[derive(Default)]
        struct Task(Count, Count);
        impl Periodic for Task {
            fn tick(&self) {
                if !lock(&REGISTRY).is_running {
                    self.1.tick();
                }
                self.0.tick();
            }
        }
        let panics = Arc::new(Panics);
        let task = Arc::new(Task::default());
        let rare = Arc::new(Count::default());
        every(TICK, &task);
        every(TICK, &panics);
        every(Duration::from_secs(3600), &rare);
        while task.0.0.load(Relaxed) < 2 {
            thread::sleep(TICK);
        }
        assert_eq!(rare.0.load(Relaxed), 0, "the first tick comes after one period");
        assert_eq!(task.1.0.load(Relaxed), 0, "the thread runs while there is work");
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_deadline_needs_no_timer_of_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let start = Instant::now();
        runtime.block_on(Deadline::after(TICK));
        assert!(start.elapsed() >= TICK);
        runtime.block_on(Deadline::after(Duration::ZERO));
        let mut far = Deadline::after(Duration::MAX);
        let mut context = std::task::Context::from_waker(Waker::noop());
        let mut is_pending = || Future::poll(std::pin::Pin::new(&mut far), &mut context).is_pending();
        assert!(is_pending());
        runtime.block_on(Deadline::after(TICK));
        assert!(is_pending());
    }
}
