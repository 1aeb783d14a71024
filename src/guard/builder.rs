use std::{fmt, path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode, request::Parts};

use super::{
    layer::StorageGuardLayer,
    linger::{Linger, LingerState},
    response_context::{ResponseContext, StoredIf},
    shared::{Essential, Shared},
};
use crate::{
    admission::{Admission, Limits, LiveLimits, MAX_SCOPES, MAX_TENANTS},
    capacity::{BuildError, Charge, Observer, SizeModel, WriteBuffer},
    resource::Resource,
    respond::{
        Classifier, Key, LengthHints, MissingTenant, Protocol, RefusalWriter, Renderer, RetryAfter, TemporaryStatus,
        TenantKey,
    },
    tenant::{Ledger, is_name},
};

/// Settings of a [`StorageGuardLayer`].
#[must_use = "a layer is made by `build`"]
pub struct StorageGuardBuilder {
    enabled: bool,
    resources: Vec<(Resource, Charge)>,
    size_model: SizeModel,
    limits: Limits,
    /// None: the default.
    classifier: Option<Box<dyn Classifier>>,
    essential: Option<Box<Essential>>,
    length_hints: LengthHints,
    refusal_writer: RefusalWriter,
    linger: Linger,
    observers: Vec<Arc<dyn Observer>>,
    expose_reservation: bool,
    tenants: Vec<(Ledger, Key)>,
    missing_tenant: MissingTenant,
    stored_if: Option<Box<StoredIf>>,
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
}

impl StorageGuardBuilder {
    fn new() -> Self {
        Self {
            enabled: true,
            resources: Vec::new(),
            size_model: SizeModel::default(),
            limits: Limits::default(),
            classifier: None,
            essential: None,
            length_hints: LengthHints::default(),
            refusal_writer: RefusalWriter::default(),
            linger: Linger::default(),
            observers: Vec::new(),
            expose_reservation: false,
            tenants: Vec::new(),
            missing_tenant: MissingTenant::default(),
            stored_if: None,
        }
    }

    /// Adds a resource on which bodies land whole. At most eight.
    pub fn resource(self, resource: Resource) -> Self {
        self.resource_charged(resource, Charge::All)
    }

    /// Adds a resource, and says which part of a body lands there.
    pub fn resource_charged(mut self, resource: Resource, charge: Charge) -> Self {
        self.resources.push((resource, charge));
        self
    }

    /// Charges a tenant of this ledger with what each request stores: its body's bytes, without what a file system needs
    /// beside them. At most four; of an organisation and a user in it, say, each request takes of both or of none.
    ///
    /// A tenant over its limit is refused with 507 for the reason [`Quota`](crate::Reason::Quota), and with 413 what is
    /// larger than the whole limit. Requests that are never refused, such as `DELETE`, are looked at for
    /// [`Stored`](crate::Stored) only.
    pub fn tenant(mut self, ledger: Ledger, key: impl TenantKey + 'static) -> Self {
        self.tenants.push((ledger, Key::new(key)));
        self
    }

    /// Sets what becomes of requests that store something and do not tell on whose account. Default: 403.
    pub fn missing_tenant(mut self, policy: MissingTenant) -> Self {
        self.missing_tenant = policy;
        self
    }

    /// Tells by a response's status and headers whether what came of the body is stored. Default: with a status of the
    /// class 2xx, unless `grpc-status` says that it failed. What a handler tells by [`Stored`](crate::Stored) is stronger.
    pub fn stored_if(mut self, is_stored: impl Fn(StatusCode, &HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        self.stored_if = Some(Box::new(is_stored));
        self
    }

    /// Sets the largest body, in bytes; more is refused with 413 (RFC 9110 section 15.5.14). Default: no limit but what
    /// could ever fit.
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.limits.maximum = bytes;
        self
    }

    /// Sets what a request counts at least, in bytes, also one without a length of its own such as `MKCOL`, `COPY` or an
    /// empty `POST`. Default: 0, to which the size model adds its overhead.
    pub const fn minimum_charge(mut self, bytes: u64) -> Self {
        self.limits.minimum = bytes;
        self
    }

    /// Sets how much of a resource a body takes up. Default: its bytes, and what a file system needs beside
    /// them.
    pub const fn size_model(mut self, model: SizeModel) -> Self {
        self.size_model = model;
        self
    }

    /// Declares a streaming handler: sets how much of a body it may hold unwritten when it asks for more, so that the
    /// reservation of a large upload shrinks while it is written. Default: [`WriteBuffer::Whole`], which is safe for
    /// handlers that collect bodies before they write.
    pub const fn write_buffer(mut self, write_buffer: WriteBuffer) -> Self {
        self.limits.write_buffer = write_buffer;
        self
    }

    /// Refuses bodies of unknown length with 411 (RFC 9110 section 15.5.12), also where a
    /// [hint](Self::length_hints) tells how much there will be: a body may bring more than it says. Off by default: macOS
    /// Finder and many streaming clients send no length.
    pub const fn require_length(mut self, require: bool) -> Self {
        self.limits.require_length = require;
        self
    }

    /// Sets what tells which requests store something. It is asked once for each, on the request's own task, so it should
    /// be quick. Default: [`DefaultClassifier`](crate::DefaultClassifier), by the method.
    pub fn classifier(mut self, classifier: impl Classifier + 'static) -> Self {
        self.classifier = Some(Box::new(classifier));
        self
    }

    /// Picks the requests that are essential, such as the lock file that a client must store before it can delete. They
    /// may use [a part of the floor](crate::ResourceBuilder::essential_share) of every resource, also when it is full.
    pub fn essential(mut self, is_essential: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.essential = Some(Box::new(is_essential));
        self
    }

    /// Sets the headers which tell how much will be stored in the end, and looks at them for every request. They only
    /// ever raise the estimate. Default: `Upload-Length`, `X-Expected-Entity-Length`, `OC-Total-Length` and
    /// `X-Amz-Decoded-Content-Length`, where the body's own length is unknown or zero.
    pub fn length_hints(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.length_hints = LengthHints::always(names.into_iter().collect());
        self
    }

    /// Sets the protocol in whose words refusals are told. Default: the one that the request shows to speak. It is looked
    /// for when a request is refused, and beforehand where the length is unknown. Of a request of known length nothing is
    /// looked at beforehand: should the storage turn out to be full, a page takes the place of a page, and problem details
    /// that of anything else the service said. With a protocol that is set, `Accept` and the like are kept for that case.
    /// Has no effect beside a [renderer](Self::renderer).
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.refusal_writer.protocol = Some(protocol);
        self
    }

    /// Sets the status for what does not fit now. Default: 507.
    pub const fn temporary_status(mut self, status: TemporaryStatus) -> Self {
        self.refusal_writer.temporary_status = status;
        self
    }

    /// Sets what renders refusals, instead of a protocol's own format.
    pub fn renderer(mut self, renderer: impl Renderer + 'static) -> Self {
        self.refusal_writer.renderer = Some(Arc::new(renderer));
        self
    }

    /// Sets what `Retry-After` says. Default: 5 to 15 s, at random.
    pub const fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        self.refusal_writer.retry_after = retry_after;
        self
    }

    /// Sets how connections of refused requests are kept for a moment, so that the client reads the answer.
    pub const fn linger(mut self, linger: Linger) -> Self {
        self.linger = linger;
        self
    }

    /// Refuses nothing, not even what is larger than [`max_body`](Self::max_body); counts it, and tells the
    /// [observers](Self::observer) of the layer what would have been refused. For a careful roll-out. A disk that is really full stays the handler's own error.
    pub const fn report_only(mut self, report_only: bool) -> Self {
        self.limits.report_only = report_only;
        self
    }

    /// Puts a [`Reservation`](crate::Reservation) into the extensions of each admitted request, so that the handler can keep
    /// the room for work that outlives the response. Off by default, and then it costs nothing.
    pub const fn expose_reservation(mut self, expose: bool) -> Self {
        self.expose_reservation = expose;
        self
    }

    /// Adds an observer of refusals. A resource's own events go to [its observers](
    /// crate::ResourceBuilder::observer).
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// With `false` the layer lets everything through and counts nothing. (`tower::util::option_layer` cannot switch this
    /// layer off, since it changes the body's type.)
    pub const fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Makes the layer. Measures nothing, and starts no thread: resources and ledgers have done so.
    ///
    /// # Errors
    ///
    /// When a setting is invalid, or there is nothing to guard: neither a resource nor a ledger nor a largest body.
    pub fn build(self) -> Result<StorageGuardLayer, BuildError> {
        self.check()?;
        let decides_by_length = self.enabled
            && self.tenants.is_empty()
            && self.classifier.is_none()
            && self.essential.is_none()
            && !self.length_hints.is_always()
            && !self.expose_reservation
            && !self.refusal_writer.always_needs_context();
        let (ledgers, tenant_keys): (Vec<_>, _) = self.tenants.into_iter().unzip();
        let limits = Arc::new(LiveLimits::new(self.limits));
        let response_context = Arc::new(ResponseContext {
            refusal_writer: RefusalWriter {
                limits: limits.clone(),
                ..self.refusal_writer
            },
            linger: LingerState::new(self.linger),
            stored_if: self.stored_if,
        });
        Ok(StorageGuardLayer::new(Shared {
            enabled: self.enabled,
            decides_by_length,
            exempts_safe_methods: self.classifier.is_none() || !self.enabled,
            exposes_reservation: self.expose_reservation,
            admission: Admission::new(
                self.resources,
                self.size_model,
                ledgers,
                limits,
                self.observers,
                response_context.clone(),
            ),
            tenant_keys,
            missing_tenant: self.missing_tenant,
            classifier: self.classifier,
            essential: self.essential,
            length_hints: self.length_hints,
            response_context,
        }))
    }

    fn check(&self) -> Result<(), BuildError> {
        if let Some((value, remedy)) = self.size_model.flaw() {
            return Err(BuildError::invalid("size_model", value, remedy));
        }
        if self.resources.len() > MAX_SCOPES {
            return Err(BuildError::invalid(
                "resource",
                format!("{} resources", self.resources.len()),
                "give at most 8 resources; one probe can watch several things and tell the scarcest",
            ));
        }
        if self.tenants.len() > MAX_TENANTS {
            return Err(BuildError::invalid(
                "tenant",
                format!("{} ledgers", self.tenants.len()),
                "give at most 4 ledgers",
            ));
        }
        if let MissingTenant::Shared(name) = &self.missing_tenant {
            if !is_name(name) {
                let length = format!("a name of {} bytes", name.len());
                return Err(BuildError::invalid(
                    "missing_tenant",
                    length,
                    "give a tenant's name of 1 to 256 bytes",
                ));
            }
        }
        self.limits
            .check(!self.enabled || !self.resources.is_empty() || !self.tenants.is_empty())
    }
}

impl fmt::Debug for StorageGuardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageGuardBuilder")
            .field("enabled", &self.enabled)
            .field("resources", &self.resources)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
