use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER},
    request::Parts,
};

use super::{
    Protocol, RenderContext, Renderer, RetryAfter, TemporaryStatus,
    decimal::decimal,
    protocol::{Dialect, problem},
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
    /// Told to clients of protocols that have a word for the largest body.
    pub(crate) limits: Arc<LiveLimits>,
}

/// What a late refusal needs to know of the request.
#[derive(Debug, Default)]
pub(crate) struct LateContext {
    /// None: that of the service's own answer.
    dialect: Option<Dialect>,
    /// The request's head, for a renderer that asks for it.
    head: Option<Box<Head>>,
}

impl RefusalWriter {
    /// Keeps what a late refusal will need. Allocates only for a renderer that asks for the head.
    ///
    /// Reads headers only where the length is unknown: a single look-up costs a third of the decision, and a request of
    /// known length is rarely refused late.
    #[inline(always)]
    pub(crate) fn late_context(
        &self,
        request: HeadRef<'_>,
        length_is_known: bool,
        dialect: Option<Dialect>,
    ) -> LateContext {
        if self.renderer.is_none() && self.protocol.is_none() && length_is_known {
            return LateContext::default();
        }
        self.read_head(request, dialect)
    }

    #[inline(never)]
    fn read_head(&self, request: HeadRef<'_>, dialect: Option<Dialect>) -> LateContext {
        if let Some(renderer) = &self.renderer {
            return LateContext {
                dialect: None,
                head: renderer.keeps_head().then(|| Box::new(request.to_head())),
            };
        }
        let dialect = match self.protocol {
            Some(protocol) => Dialect::resolve(protocol, request.headers),
            None => dialect.unwrap_or_else(|| Dialect::detect(request)),
        };
        LateContext {
            dialect: Some(dialect),
            head: None,
        }
    }

    /// The answer to a request that is refused at once.
    pub(crate) fn write(&self, refusal: Refusal, parts: &mut Parts) -> Response<Bytes> {
        let dialect = match self.protocol {
            Some(protocol) => Dialect::resolve(protocol, &parts.headers),
            None => Dialect::detect(HeadRef::from(&*parts)),
        };
        if dialect == Dialect::Problem && self.renderer.is_none() {
            return self.write_problem(refusal, parts);
        }
        self.write_as(refusal, dialect, &Head::taken_from(parts))
    }

    /// What most clients get. The maps of the request's head become those of the answer: they are larger, and to allocate
    /// others takes as long as to decide.
    fn write_problem(&self, refusal: Refusal, parts: &mut Parts) -> Response<Bytes> {
        let headers = std::mem::take(&mut parts.headers);
        let mut extensions = std::mem::take(&mut parts.extensions);
        let retry_after = self.retry_after.pick(&refusal);
        let mut response = problem::write(&refusal, refusal.status_with(self.temporary_status), headers);
        complete(&mut response, retry_after);
        extensions.clear();
        extensions.insert(refusal);
        *response.extensions_mut() = extensions;
        response
    }

    /// The answer to a request that was admitted at first, in place of one with these headers, if the service did not fail
    /// altogether. Where nothing is known of the request a page takes the place of a page: the service has looked at what
    /// the client prefers.
    pub(crate) fn write_late(
        &self,
        refusal: Refusal,
        late: LateContext,
        replaced: Option<&HeaderMap>,
    ) -> Response<Bytes> {
        let dialect = late
            .dialect
            .unwrap_or_else(|| replaced.map_or(Dialect::Problem, Dialect::in_place_of));
        self.write_as(refusal, dialect, &late.head.unwrap_or_default())
    }

    fn write_as(&self, refusal: Refusal, dialect: Dialect, head: &Head) -> Response<Bytes> {
        let context = RenderContext {
            head,
            status: refusal.status_with(self.temporary_status),
            retry_after: self.retry_after.pick(&refusal),
            max_body: self.limits.load().max_body(),
        };
        let mut response = match &self.renderer {
            Some(renderer) => renderer.render(&refusal, &context),
            None => dialect.renderer().render(&refusal, &context),
        };
        complete(&mut response, context.retry_after);
        response.extensions_mut().insert(refusal);
        response
    }
}

fn complete(response: &mut Response<Bytes>, retry_after: Option<u32>) {
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    let length = response.body().len();
    // gRPC and its like answer with 200 and say the rest in their own words.
    let is_plain_refusal = !response.status().is_success();
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
    if !is_plain_refusal {
        return;
    }
    headers.insert(
        CONTENT_LENGTH,
        u32::try_from(length).map_or_else(|_| length.into(), decimal),
    );
    if let Some(seconds) = retry_after {
        headers.entry(RETRY_AFTER).or_insert_with(|| decimal(seconds));
    }
}
