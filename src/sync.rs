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

/// Locks a mutex, poisoned or not: what this crate keeps in one is sound after any assignment.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs what `check` does with every order of its threads' steps.
#[cfg(storage_guard_loom)]
pub(crate) use loom::model;
