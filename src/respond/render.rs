use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};

use super::{Format, RetryAfter, page, problem, text};
use crate::capacity::{Reason, Refusal};

/// Writes the answer to a refused request. Any `Fn(&Refusal, &RequestHead) -> http::Response<bytes::Bytes>` is a renderer.
///
/// The guard adds what is missing: `Content-Length`, `Cache-Control: no-store`, `Retry-After` where it applies, and the
/// [`Refusal`] in the extensions. [`Refusal::status`] tells the usual status.
///
/// ```
/// use http::Response;
/// use tower_storage_guard::{Refusal, Renderer, RequestHead};
///
/// let renderer = |refusal: &Refusal, request: &RequestHead| {
///     let german = request.headers.get("accept-language").is_some_and(|value| value.as_bytes().starts_with(b"de"));
///     let words = if german { "Kein Platz mehr.\n" } else { "No room left.\n" };
///     Response::builder().status(refusal.status()).body(words.into()).unwrap()
/// };
/// # fn accepts(_: impl Renderer) {}
/// # accepts(renderer);
/// ```
pub trait Renderer: Send + Sync {
    /// Writes the answer.
    fn render(&self, refusal: &Refusal, request: &RequestHead) -> Response<Bytes>;

    /// Whether the request's head must be kept for refusals that come late, while the body arrives or from the storage
    /// itself. It is by default, which costs a copy of the headers for every admitted request; without it the head of a
    /// late refusal is empty.
    fn keeps_head(&self) -> bool {
        true
    }
}

impl<F: Fn(&Refusal, &RequestHead) -> Response<Bytes> + Send + Sync> Renderer for F {
    fn render(&self, refusal: &Refusal, request: &RequestHead) -> Response<Bytes> {
        self(refusal, request)
    }
}

/// The head of a request that is refused.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
}

impl RequestHead {
    fn of(parts: &Parts) -> Self {
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers: parts.headers.clone(),
        }
    }
}

impl Refusal {
    /// The status that fits: 413 for what could never fit, 507 for what does not fit now, 503 where nobody knows, 411
    /// without a length.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason() {
            Reason::TooLarge | Reason::ExceedsCapacity => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Space | Reason::Inodes | Reason::ReadOnly | Reason::Quota => StatusCode::INSUFFICIENT_STORAGE,
            Reason::Unmeasured => StatusCode::SERVICE_UNAVAILABLE,
            Reason::LengthRequired => StatusCode::LENGTH_REQUIRED,
        }
    }
}

/// How one layer answers.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) renderer: Option<Arc<dyn Renderer>>,
    pub(crate) retry_after: RetryAfter,
}

/// What is remembered of a request in case that it is refused late.
#[derive(Debug)]
pub(crate) struct Remembered {
    format: Format,
    head: Option<Box<RequestHead>>,
}

/// A body and its type.
pub(super) struct Document {
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
}

impl Answers {
    /// What a late answer will need. Allocates only for a renderer that wants the head.
    #[inline]
    pub(crate) fn remember(&self, parts: &Parts) -> Remembered {
        match &self.renderer {
            None => Remembered {
                format: Format::preferred(&parts.headers),
                head: None,
            },
            Some(renderer) => Remembered {
                format: Format::default(),
                head: renderer.keeps_head().then(|| Box::new(RequestHead::of(parts))),
            },
        }
    }

    /// The answer to a request that is refused at once.
    pub(crate) fn answer(&self, refusal: Refusal, parts: &Parts) -> Response<Bytes> {
        let response = match &self.renderer {
            None => built_in(&refusal, Format::preferred(&parts.headers)),
            Some(renderer) => renderer.render(&refusal, &RequestHead::of(parts)),
        };
        self.complete(response, refusal)
    }

    /// The answer to a request that was admitted at first.
    pub(crate) fn answer_late(&self, refusal: Refusal, remembered: Remembered) -> Response<Bytes> {
        let response = match &self.renderer {
            None => built_in(&refusal, remembered.format),
            Some(renderer) => renderer.render(&refusal, &remembered.head.map(|head| *head).unwrap_or_default()),
        };
        self.complete(response, refusal)
    }

    fn complete(&self, mut response: Response<Bytes>, refusal: Refusal) -> Response<Bytes> {
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after.pick(&refusal) {
            headers.entry(RETRY_AFTER).or_insert(seconds.into());
        }
        response.extensions_mut().insert(refusal);
        response
    }
}

/// The name of a status, as RFC 9110 has it.
pub(super) fn title(status: StatusCode) -> &'static str {
    match status {
        // The crate `http` keeps the name that it had before.
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        status => status.canonical_reason().unwrap_or("Refused"),
    }
}

fn built_in(refusal: &Refusal, format: Format) -> Response<Bytes> {
    let status = refusal.status();
    let document = match format {
        Format::Problem => problem::document(refusal, status),
        Format::Page => page::document(refusal, status),
        Format::Text => text::document(refusal, status),
    };
    let mut response = Response::new(document.body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, document.content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reason: Reason, accept: Option<&str>) -> Response<Bytes> {
        let mut request = http::Request::put("/secret/path");
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        Answers::default().answer(Refusal::new(reason), &parts)
    }

    #[test]
    fn every_reason_has_its_status_in_every_format() {
        for reason in Reason::ALL {
            for (accept, content_type) in [
                (None, "application/problem+json"),
                (Some("text/html"), "text/html; charset=utf-8"),
                (Some("text/plain"), "text/plain; charset=utf-8"),
            ] {
                let response = answer(reason, accept);
                let status = Refusal::new(reason).status();
                assert_eq!(response.status(), status);
                assert_eq!(response.headers()[CONTENT_TYPE], content_type);
                assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
                assert_eq!(
                    response.headers()[CONTENT_LENGTH],
                    response.body().len().to_string().as_str()
                );
                assert_eq!(response.extensions().get(), Some(&Refusal::new(reason)));
                let body = std::str::from_utf8(response.body()).expect("text");
                assert!(body.contains(reason.as_str()), "{body}");
                assert!(body.contains(status.as_str()), "{body}");
                assert!(!body.contains("/secret"), "no path: {body}");
            }
        }
    }

    #[test]
    fn problem_details_are_json() {
        for reason in Reason::ALL {
            let response = answer(reason, None);
            let value: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
            assert_eq!(value["status"], response.status().as_u16());
            assert_eq!(value["reason"], reason.name());
            assert_eq!(value["detail"], reason.as_str());
            assert_eq!(value["title"], title(response.status()));
        }
    }

    #[test]
    fn a_renderer_keeps_its_headers_and_gets_what_it_left_out() {
        let renderer = |_: &Refusal, request: &RequestHead| {
            let mut response = Response::new(Bytes::from(request.uri.to_string()));
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("99"));
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response
        };
        let answers = Answers {
            renderer: Some(Arc::new(renderer)),
            ..Answers::default()
        };
        let parts = http::Request::put("/there").body(()).expect("a request").into_parts().0;
        let remembered = answers.remember(&parts);
        for response in [
            answers.answer(Refusal::new(Reason::Space), &parts),
            answers.answer_late(Refusal::new(Reason::Space), remembered),
        ] {
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[RETRY_AFTER], "99");
            assert_eq!(response.headers()[CONTENT_LENGTH], "6");
            assert_eq!(&response.body()[..], b"/there");
            assert!(response.extensions().get::<Refusal>().is_some());
        }
    }
}
