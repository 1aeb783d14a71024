//! Who may change a name now. What was stored under it before, and what is after, must be told in the order in which it
//! was done; so a turn ends when the guard has charged it.

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
};

use axum::http::Response;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Names that share a lock wait for each other, which does no harm.
const LOCKS: usize = 256;

#[derive(Clone)]
pub(crate) struct Turns {
    dirs: Arc<[Arc<RwLock<()>>]>,
    names: Arc<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            dirs: (0..LOCKS).map(|_| Arc::default()).collect(),
            names: (0..LOCKS).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

/// The right to change what a name stands for, as long as the response that tells of it is not [done](end).
#[derive(Clone)]
pub(crate) struct Turn {
    _held: Arc<(OwnedRwLockReadGuard<()>, OwnedMutexGuard<()>)>,
}

/// Nobody changes anything in a directory.
pub(crate) struct Standstill {
    _dir: OwnedRwLockWriteGuard<()>,
}

impl Turns {
    pub(crate) async fn take(&self, dir: &Path, path: &Path) -> Turn {
        let dir = self.of(&self.dirs, dir).read_owned().await;
        let name = self.of(&self.names, path).lock_owned().await;
        Turn {
            _held: Arc::new((dir, name)),
        }
    }

    pub(crate) async fn stop(&self, dir: &Path) -> Standstill {
        Standstill {
            _dir: self.of(&self.dirs, dir).write_owned().await,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder is in range")]
    fn of<T>(&self, locks: &[Arc<T>], path: &Path) -> Arc<T> {
        let place = self.hasher.hash_one(path) % LOCKS as u64;
        locks[place as usize].clone()
    }
}

/// Goes outside of the guard, which has charged what was done by then.
pub(crate) fn end<B>(mut response: Response<B>) -> Response<B> {
    response.extensions_mut().remove::<Turn>();
    response
}
