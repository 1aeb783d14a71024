//! What threads share: the standard library's own, or where models are checked those of `loom`, which tries whatever threads
//! can do to each other (`models/`).

#[cfg(not(storage_guard_loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};

#[cfg(storage_guard_loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};

/// Whether this is the only reference. Then all that was done by others has happened before. A weak reference may be
/// upgraded meanwhile; that one is the last then.
#[cfg(not(storage_guard_loom))]
#[inline(always)]
pub(crate) fn is_alone<T>(this: &mut Arc<T>) -> bool {
    // `Arc::get_mut` would lock out weak references, which takes two more locked instructions.
    let is_alone = Arc::strong_count(this) == 1;
    if is_alone {
        atomic::fence(atomic::Ordering::Acquire);
    }
    is_alone
}

#[cfg(storage_guard_loom)]
pub(crate) fn is_alone<T>(this: &mut Arc<T>) -> bool {
    Arc::get_mut(this).is_some()
}

/// Locks a mutex, poisoned or not: what this crate keeps in one is sound after any assignment.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs what `check` does with every order of its threads' steps.
#[cfg(storage_guard_loom)]
pub(crate) use loom::model;
