use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request::Parts};

use crate::capacity::Refusal;

/// Writes the answer to a refused request.
///
/// Any `Fn(&Refusal, &RenderContext<'_>) -> http::Response<bytes::Bytes>` is a renderer; so is every built-in
/// [`Protocol`](super::Protocol), whose answer a renderer can change in details.
///
/// The guard adds what is missing: `Content-Length`, `Cache-Control: no-store`, `Retry-After` where it applies, and the
/// [`Refusal`] in the extensions.
///
/// ```
/// use http::Response;
/// use tower_storage_guard::{Refusal, RenderContext, Renderer};
///
/// let renderer = |_: &Refusal, context: &RenderContext<'_>| {
///     let language = context.headers().get("accept-language");
///     let german = language.is_some_and(|value| value.as_bytes().starts_with(b"de"));
///     let words = if german { "Kein Platz mehr.\n" } else { "No room left.\n" };
///     let mut response = Response::new(words.into());
///     *response.status_mut() = context.status();
///     response
/// };
/// # fn accepts(_: impl Renderer) {}
/// # accepts(renderer);
/// ```
pub trait Renderer: Send + Sync {
    /// Writes the answer.
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes>;

    /// Returns whether late refusals need the request's head.
    ///
    /// A late refusal comes while the body arrives, or from the storage itself. The default, `true`, costs a copy of the
    /// headers of every admitted request; with `false` the head of a late refusal is empty.
    fn keeps_head(&self) -> bool {
        true
    }
}

impl<F: Fn(&Refusal, &RenderContext<'_>) -> Response<Bytes> + Send + Sync> Renderer for F {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        self(refusal, context)
    }
}

/// What a renderer gets beside the refusal.
#[derive(Debug)]
pub struct RenderContext<'a> {
    pub(super) head: &'a Head,
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<u32>,
    pub(super) max_body: Option<u64>,
}

impl RenderContext<'_> {
    /// The status of this refusal under the layer's settings.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The seconds after which the client may retry, where waiting can help.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// The largest body that the layer accepts, in bytes, if one is set. Free space is never told.
    #[must_use]
    pub fn max_body(&self) -> Option<u64> {
        self.max_body
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The request's target.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The request's version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }
}

/// The head of a request, kept apart from its extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// The head of a request that is still whole, with its extensions.
#[derive(Clone, Copy)]
pub(crate) struct HeadRef<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
    pub(super) extensions: &'a Extensions,
}

impl<'a> HeadRef<'a> {
    #[inline]
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    pub(crate) fn method(self) -> &'a Method {
        self.method
    }

    pub(super) fn to_head(self) -> Head {
        Head {
            method: self.method.clone(),
            uri: self.uri.clone(),
            version: self.version,
            headers: self.headers.clone(),
        }
    }
}

impl<'a> From<&'a Parts> for HeadRef<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

impl Head {
    /// Takes the head out of a request that is not used any more.
    pub(super) fn taken_from(parts: &mut Parts) -> Self {
        Self {
            method: std::mem::take(&mut parts.method),
            uri: std::mem::take(&mut parts.uri),
            version: parts.version,
            headers: std::mem::take(&mut parts.headers),
        }
    }
}
