use std::{mem, sync::Arc};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};

use super::{
    Protocol, RenderContext, Renderer, RetryAfter, TemporaryStatus,
    decimal::decimal,
    protocol::Dialect,
    render::{Head, HeadRef},
};
use crate::{admission::LiveLimits, capacity::Refusal};

/// Writes the refusals of one layer.
#[derive(Clone, Default)]
pub(crate) struct RefusalWriter {
    pub(crate) renderer: Option<Arc<dyn Renderer>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) temporary_status: TemporaryStatus,
    pub(crate) retry_after: RetryAfter,
    /// For the largest body, which some protocols have a header for.
    pub(crate) limits: Arc<LiveLimits>,
}

/// What a late refusal needs to know of the request.
#[derive(Debug, Default)]
pub(crate) struct LateContext {
    /// The [code](Dialect::code) of the dialect; 0 for that of the service's own answer.
    pub(crate) dialect: u8,
    /// The request's head, for a renderer that asks for it.
    pub(crate) head: Option<Box<Head>>,
}

impl RefusalWriter {
    /// Returns whether every request has a late context, also where its headers were not read.
    pub(crate) fn always_needs_context(&self) -> bool {
        self.renderer.is_some() || self.protocol.is_some()
    }

    /// Keeps what a late refusal will need. Allocates only for a renderer that asks for the head.
    ///
    /// Without a protocol that is set, `dialect` is what the headers showed when they were read for the length. Those of a
    /// request of known length are not read, because such a request is rarely refused late.
    pub(crate) fn late_context(&self, request: HeadRef<'_>, dialect: Option<Dialect>) -> LateContext {
        let (dialect, head) = match (&self.renderer, self.protocol) {
            (Some(renderer), _) => (None, renderer.keeps_head().then(|| Box::new(request.to_head()))),
            (None, Some(protocol)) => (Some(Dialect::resolve(protocol, request.headers)), None),
            (None, None) => (dialect, None),
        };
        LateContext {
            dialect: dialect.map_or(0, Dialect::code),
            head,
        }
    }

    /// Writes the answer to a request that is refused at once. Its dialect may be known already.
    pub(crate) fn write(&self, refusal: Refusal, dialect: Option<Dialect>, parts: &mut Parts) -> Response<Bytes> {
        if let Some(renderer) = &self.renderer {
            return self.render(&**renderer, refusal, &Head::taken_from(parts));
        }
        let dialect = match self.protocol {
            Some(protocol) => Dialect::resolve(protocol, &parts.headers),
            None => dialect.unwrap_or_else(|| Dialect::detect(HeadRef::from(&*parts))),
        };
        // The request's maps become those of the answer: they have room already, and allocating others takes as long as
        // a decision.
        parts.headers.clear();
        parts.extensions.clear();
        self.write_as(dialect, refusal, &mut parts.headers, &mut parts.extensions)
    }

    /// Writes the answer to an admitted request, in place of the service's response with these headers, if there is one.
    ///
    /// Where the dialect is not known, HTML replaces HTML and problem details replace anything else: the service has
    /// seen what the client prefers.
    pub(crate) fn write_late(
        &self,
        refusal: Refusal,
        late: LateContext,
        replaced: Option<&HeaderMap>,
    ) -> Response<Bytes> {
        if let Some(renderer) = &self.renderer {
            return self.render(&**renderer, refusal, &late.head.unwrap_or_default());
        }
        let dialect =
            Dialect::from_code(late.dialect).unwrap_or_else(|| replaced.map_or(Dialect::Problem, Dialect::in_place_of));
        self.write_as(dialect, refusal, &mut HeaderMap::new(), &mut Extensions::new())
    }

    /// Writes the answer, with these empty maps in it.
    fn write_as(
        &self,
        dialect: Dialect,
        refusal: Refusal,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
    ) -> Response<Bytes> {
        let reason = refusal.reason();
        let document = dialect.document(reason, refusal.status_with(self.temporary_status));
        let retry_after = self.retry_after.pick(&refusal);
        // To append takes less than to insert, and none of these is there twice.
        headers.append(CONTENT_TYPE, document.content_type.clone());
        headers.append(CACHE_CONTROL, NO_STORE);
        if has_plain_status(document.status) {
            headers.append(CONTENT_LENGTH, document.content_length.clone());
            if let Some(seconds) = retry_after {
                headers.append(RETRY_AFTER, decimal(seconds));
            }
        }
        dialect.insert_own_headers(headers, reason, retry_after, || self.max_body());
        extensions.insert(refusal);
        let mut response = Response::new(Bytes::from_static(document.body));
        *response.status_mut() = document.status;
        mem::swap(response.headers_mut(), headers);
        mem::swap(response.extensions_mut(), extensions);
        response
    }

    /// Lets a renderer of the user's own write the answer, and adds what is missing.
    #[cold]
    fn render(&self, renderer: &dyn Renderer, refusal: Refusal, head: &Head) -> Response<Bytes> {
        let context = RenderContext {
            head,
            status: refusal.status_with(self.temporary_status),
            retry_after: self.retry_after.pick(&refusal),
            max_body: self.max_body(),
        };
        let mut response = renderer.render(&refusal, &context);
        let length = response.body().len();
        let is_plain = has_plain_status(response.status());
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
        if is_plain {
            headers.insert(CONTENT_LENGTH, length.into());
            if let Some(seconds) = context.retry_after {
                headers.entry(RETRY_AFTER).or_insert_with(|| decimal(seconds));
            }
        }
        response.extensions_mut().insert(refusal);
        response
    }

    fn max_body(&self) -> Option<u64> {
        self.limits.load().max_body()
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Whether HTTP's own status tells of the refusal. gRPC and its like answer with 200 and say the rest in their own words.
fn has_plain_status(status: StatusCode) -> bool {
    !status.is_success()
}
