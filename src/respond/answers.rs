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
    protocol::{Spoken, Wording, problem},
    render::{Head, HeadRef},
};
use crate::{admission::LiveLimits, capacity::Refusal};

/// How one layer answers.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) renderer: Option<Arc<dyn Renderer>>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) temporary_status: TemporaryStatus,
    pub(crate) retry_after: RetryAfter,
    /// Told to clients of protocols that have a word for the largest body.
    pub(crate) limits: Arc<LiveLimits>,
}

/// What is remembered of a request in case that it is refused late.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// A dialect's code; 0: like the service's own answer.
    pub(crate) code: u8,
    pub(crate) head: Option<Box<Head>>,
}

impl Answers {
    /// Whether a late answer needs something of every request.
    pub(crate) fn remembers_always(&self) -> bool {
        self.renderer.is_some() || self.protocol.is_some()
    }

    /// What a late answer will need. Allocates only for a renderer that wants the head.
    ///
    /// Without a protocol that is set, it is the dialect that was seen in the headers while the length was looked for. A
    /// request of known length is rarely refused late, and its headers are not looked at.
    pub(crate) fn remember(&self, request: HeadRef<'_>, spoken: Spoken) -> Remembered {
        let (mut wording, mut head) = (spoken.0, None);
        if let Some(renderer) = &self.renderer {
            wording = None;
            head = renderer.keeps_head().then(|| Box::new(request.to_head()));
        } else if let Some(protocol) = self.protocol {
            wording = Some(Wording::of(protocol, request.headers));
        }
        Remembered {
            code: wording.map_or(0, Wording::code),
            head,
        }
    }

    /// The answer to a request that is refused at once.
    pub(crate) fn answer(&self, refusal: Refusal, parts: &mut Parts) -> Response<Bytes> {
        let wording = match self.protocol {
            Some(protocol) => Wording::of(protocol, &parts.headers),
            None => Wording::detect(HeadRef::from(&*parts)),
        };
        if wording == Wording::Problem && self.renderer.is_none() {
            return self.write_problem(refusal, parts);
        }
        self.write(refusal, wording, &Head::taken_from(parts))
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
    pub(crate) fn answer_late(
        &self,
        refusal: Refusal,
        remembered: Remembered,
        replaced: Option<&HeaderMap>,
    ) -> Response<Bytes> {
        let wording = Wording::from_code(remembered.code)
            .unwrap_or_else(|| replaced.map_or(Wording::Problem, Wording::in_place_of));
        self.write(refusal, wording, &remembered.head.unwrap_or_default())
    }

    fn write(&self, refusal: Refusal, wording: Wording, head: &Head) -> Response<Bytes> {
        let context = RenderContext {
            head,
            status: refusal.status_with(self.temporary_status),
            retry_after: self.retry_after.pick(&refusal),
            max_body: self.limits.load().max_body(),
        };
        let mut response = match &self.renderer {
            Some(renderer) => renderer.render(&refusal, &context),
            None => wording.renderer().render(&refusal, &context),
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
