use std::{fmt, path::PathBuf, sync::Arc};

use http::request::Parts;
use tower::Layer;

use super::{StorageGuard, StorageGuardBuilder, linger::Lingering};
use crate::{
    admission::{Admission, Resource},
    capacity::{BuildError, Priority},
    respond::{Answers, Classifier, LengthHints},
};

/// Refuses requests that cannot be stored before the inner service runs.
///
/// See the [crate's documentation](crate) for an example. Clones share everything; so do the services that it makes, of
/// which axum makes one for each route.
#[derive(Clone)]
pub struct StorageGuardLayer {
    shared: Arc<Shared>,
}

/// Picks the requests that may use a part of the floor.
pub(super) type Essential = dyn Fn(&Parts) -> bool + Send + Sync;

/// What all services of a layer share.
pub(super) struct Shared {
    pub(super) enabled: bool,
    pub(super) admission: Admission,
    pub(super) classifier: Box<dyn Classifier>,
    pub(super) essential: Option<Box<Essential>>,
    pub(super) length_hints: LengthHints,
    pub(super) answers: Answers,
    pub(super) lingering: Arc<Lingering>,
}

impl StorageGuardLayer {
    /// Guards the file system that holds `path`, with the defaults: 5 % of it stay free, at most 10 GiB, and bodies may
    /// be as large as fits.
    ///
    /// # Errors
    ///
    /// When the file system cannot be measured; the error names the path. Blocks until it is, at most 5 s.
    pub fn for_path(path: impl Into<PathBuf>) -> Result<Self, BuildError> {
        Self::builder().resource(Resource::disk(path).build()?).build()
    }

    /// Starts with the settings of a layer.
    pub fn builder() -> StorageGuardBuilder {
        StorageGuardBuilder::new()
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    #[inline]
    pub(super) fn priority(&self, parts: &Parts) -> Priority {
        match &self.essential {
            Some(essential) if essential(parts) => Priority::Essential,
            _ => Priority::Usual,
        }
    }
}

impl<S> Layer<S> for StorageGuardLayer {
    type Service = StorageGuard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StorageGuard::new(inner, self.shared.clone())
    }
}

impl fmt::Debug for StorageGuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageGuardLayer")
            .field("shared", &self.shared)
            .finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("enabled", &self.enabled)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
