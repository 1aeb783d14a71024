use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::{
    linger::{DrainPolicy, KeepOnDrop, drain_buffered, insert_close},
    response_context::ResponseContext,
    stored_body::{put_back, store},
};
use crate::{capacity::Refusal, respond::Dialect};

/// The answer to a request that is refused at its head, and the request's body, which may have to be kept for a moment.
pub(super) struct Refused {
    pub(super) response: Response<Bytes>,
    pub(super) kept: Option<KeepOnDrop>,
}

impl Refused {
    #[cold]
    pub(super) fn new<B>(
        response_context: &ResponseContext,
        refusal: Refusal,
        request: Request<B>,
        dialect: Option<Dialect>,
    ) -> Self
    where
        B: Body + Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let linger = &response_context.linger;
        let (policy, must_close) = linger.policy(&parts, &body.size_hint());
        let mut response = response_context.refusal_writer.write(refusal, dialect, &mut parts);
        if must_close {
            insert_close(response.headers_mut());
        }
        if policy == DrainPolicy::Drop {
            return Self { response, kept: None };
        }
        // Boxed, since it need not be `Unpin` and is moved to a task.
        let mut body = store(body, |body, _| put_back(body));
        // A small body that is here already needs nobody to wait for it.
        let kept = if policy == DrainPolicy::Drain && drain_buffered(&mut body) {
            put_back(body);
            None
        } else {
            Some(KeepOnDrop::new(linger.clone(), body, policy))
        };
        Self { response, kept }
    }
}
