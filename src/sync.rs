//! What threads share: the standard library's own, or where models are checked those of `loom`, which tries whatever threads
//! can do to each other (`models/`).

#[cfg(not(storage_guard_loom))]
pub(crate) use std::{
    hint,
    sync::{Condvar, Mutex, MutexGuard, atomic},
};

#[cfg(storage_guard_loom)]
pub(crate) use loom::{
    hint,
    sync::{Condvar, Mutex, MutexGuard, atomic},
};

/// Runs what `check` does with every order of its threads' steps.
#[cfg(storage_guard_loom)]
pub(crate) use loom::model;
