//! What a piece of work costs: in time, in instructions, in allocations.

use std::{hint::black_box, time::Instant};

/// Runs prepared work and measures it.
pub trait Meter {
    fn measure(&mut self, work: &mut dyn FnMut());
}

/// Only does the work, to warm up.
pub struct Nothing;

impl Meter for Nothing {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        work();
    }
}

/// Nanoseconds of the last piece of work.
#[derive(Default)]
pub struct Clock {
    pub nanoseconds: f64,
}

impl Meter for Clock {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        let start = Instant::now();
        work();
        self.nanoseconds = start.elapsed().as_nanos() as f64;
    }
}

/// Callgrind counts what runs inside of [`counted_by_callgrind`] and nothing else.
pub struct Callgrind;

impl Meter for Callgrind {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        counted_by_callgrind(work);
    }
}

#[inline(never)]
fn counted_by_callgrind(work: &mut dyn FnMut()) {
    work();
    // Otherwise the call above might become a jump, and the work not be inside.
    black_box(());
}

type Run = dyn FnMut(&mut dyn Meter, usize);

/// Work that can be done over and over, `n` times in one piece.
pub struct Bench {
    pub subject: &'static str,
    run: Box<Run>,
}

impl Bench {
    pub fn new(subject: &'static str, run: impl FnMut(&mut dyn Meter, usize) + 'static) -> Self {
        Self {
            subject,
            run: Box::new(run),
        }
    }

    pub fn run(&mut self, meter: &mut dyn Meter, n: usize) {
        (self.run)(meter, n);
    }
}
