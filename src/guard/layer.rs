use std::{fmt, path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, Method, Request, StatusCode, request::Parts};
use http_body::Body;
use tower::Layer;

use super::{StorageGuard, StorageGuardBuilder, linger::Lingering};
use crate::{
    admission::{Admission, LiveSettings, TenantNames, Verdict},
    capacity::{BuildError, Demand, Priority, Reason},
    resource::Resource,
    respond::{self, Class, Classifier, HeadRef, Key, LengthHints, MissingTenant, RefusalWriter, Wanted, class_of},
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

/// Tells by a response's head whether what came is stored.
pub(super) type StoredIf = dyn Fn(StatusCode, &HeaderMap) -> bool + Send + Sync;

/// What all services of a layer share.
pub(super) struct Shared {
    pub(super) enabled: bool,
    pub(super) admission: Admission<Answering>,
    /// One for each ledger of the admission.
    pub(super) tenant_keys: Vec<Key>,
    pub(super) missing_tenant: MissingTenant,
    /// None: [`DefaultClassifier`](crate::DefaultClassifier), which needs no more than the method.
    pub(super) classifier: Option<Box<dyn Classifier>>,
    pub(super) essential: Option<Box<Essential>>,
    pub(super) length_hints: LengthHints,
    pub(super) answering: Arc<Answering>,
}

/// What is needed when a request under way comes to its end. Reached by what the request holds, since a reference of its
/// own would be counted for every request.
pub(super) struct Answering {
    pub(super) answers: RefusalWriter,
    pub(super) lingering: Arc<Lingering>,
    pub(super) stored_if: Option<Box<StoredIf>>,
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

impl Shared {
    /// Whether somebody wants to see all of a request's head. It is taken apart for them only, since putting it together
    /// again moves all of it twice.
    #[inline]
    pub(super) fn shows_heads(&self) -> bool {
        self.classifier.is_some() || self.essential.is_some() || self.tenant_keys.iter().any(Key::wants_parts)
    }

    /// Whether the method alone says that there is nothing to decide and nothing to count.
    #[inline(always)]
    pub(super) fn passes(&self, method: &Method) -> bool {
        // What is safe cannot have freed anything either (RFC 9110 section 9.2.1).
        let is_exempt = self.classifier.is_none()
            && class_of(method) == Class::Exempt
            && (self.tenant_keys.is_empty() || method.is_safe());
        is_exempt || !self.enabled
    }

    /// What the request would store, where its method and its length tell.
    #[inline(always)]
    pub(super) fn wanted<B: Body>(&self, request: &Request<B>) -> Wanted {
        let class = class_of(request.method());
        respond::wanted(class, HeadRef::of(request), request.body(), &self.length_hints)
    }

    /// Decides about a request that is still whole, on the accounts of its tenants too.
    pub(super) fn decide_whole(&self, head: HeadRef<'_>, demand: Demand) -> Verdict<Answering> {
        self.admit_for_tenants(demand, head, None)
    }

    pub(super) fn decide_by_head<B: Body>(&self, parts: &Parts, body: &B) -> (Wanted, Verdict<Answering>) {
        let class = match &self.classifier {
            Some(classifier) => classifier.classify(parts),
            None => class_of(&parts.method),
        };
        let wanted = respond::wanted(class, HeadRef::from(parts), body, &self.length_hints);
        let verdict = if self.tenant_keys.is_empty() {
            self.admission.admit(wanted.demand, self.priority(parts))
        } else {
            self.admit_for_tenants(wanted.demand, HeadRef::from(parts), Some(parts))
        };
        (wanted, verdict)
    }

    #[inline]
    fn priority(&self, parts: &Parts) -> Priority {
        match &self.essential {
            Some(essential) if essential(parts) => Priority::Essential,
            _ => Priority::Usual,
        }
    }

    fn admit_for_tenants(&self, demand: Demand, head: HeadRef<'_>, parts: Option<&Parts>) -> Verdict<Answering> {
        // Neither does it store anything, nor can it have freed anything (RFC 9110 section 9.2.1).
        if demand == Demand::Exempt && head.method().is_safe() {
            return Verdict::Passed;
        }
        let priority = parts.map_or(Priority::Usual, |parts| self.priority(parts));
        match self.tenants(head, parts) {
            Ok(names) => self.admission.admit_for(demand, priority, &names),
            Err(_) if demand == Demand::Exempt => Verdict::Passed,
            Err(reason) => self.admission.refuse_unnamed(reason),
        }
    }

    /// On whose accounts the request is.
    #[inline]
    fn tenants<'a>(&'a self, head: HeadRef<'a>, parts: Option<&'a Parts>) -> Result<TenantNames<'a>, Reason> {
        let mut names = TenantNames::default();
        for (name, key) in names.iter_mut().zip(&self.tenant_keys) {
            *name = self.missing_tenant.resolve(key.tenant(head, parts))?;
        }
        Ok(names)
    }
}

impl Answering {
    /// Whether a response with this head says that what came is stored.
    pub(super) fn is_stored(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
        match &self.stored_if {
            Some(is_stored) => is_stored(status, headers),
            None => status.is_success() && headers.get(GRPC_STATUS).is_none_or(|code| code.as_bytes() == b"0"),
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

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
