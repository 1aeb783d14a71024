use std::{fmt, sync::Arc};

use tower::Layer;

use super::{service::StorageGuard, shared::Shared};
use crate::{admission::LiveSettings, resource::Resource};

/// Refuses requests that cannot be stored before the inner service runs.
///
/// See the [crate's documentation](crate) for an example. Clones share everything; so do the services that it makes, of
/// which axum makes one for each route.
#[derive(Clone)]
pub struct StorageGuardLayer {
    shared: Arc<Shared>,
}

impl StorageGuardLayer {
    /// A handle to change the settings of the layer and of its resources while it runs.
    #[must_use]
    pub fn live_settings(&self) -> LiveSettings {
        self.shared.admission.live(self.shared.enabled)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.shared.admission.resources()
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
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
