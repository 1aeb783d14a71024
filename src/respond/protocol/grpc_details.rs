//! gRPC with the details of its richer error model (grpc.io/docs/guides/error), for clients that read them.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Dialect, content_type, grpc::GRPC_STATUS, starts_with};
use crate::{
    capacity::Refusal,
    respond::{RenderContext, Renderer},
};

/// gRPC and gRPC-Web refusals with details: `google.rpc.RetryInfo` where waiting can help, and `google.rpc.QuotaFailure`
/// with the stable name of the [`Reason`](crate::Reason) as its subject. All else is as with
/// [`Protocol::Grpc`](crate::Protocol::Grpc).
///
/// ```
/// use std::time::Duration;
///
/// use tonic_types::StatusExt;
/// use tower_storage_guard::{GrpcWithDetails, StorageGuardLayer};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// let guard = StorageGuardLayer::builder().max_body(1 << 20).renderer(GrpcWithDetails).build()?;
/// # Ok(())
/// # }
///
/// // In the client:
/// fn wait(status: &tonic::Status) -> Option<Duration> {
///     status.get_details_retry_info()?.retry_delay
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcWithDetails;

impl Renderer for GrpcWithDetails {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let is_web = starts_with(content_type(context.headers()), "application/grpc-web");
        let dialect = if is_web { Dialect::GrpcWeb } else { Dialect::Grpc };
        let mut response = dialect.render(refusal, context);
        if let Some(details) = encoded(refusal, context, response.headers()) {
            response.headers_mut().insert(DETAILS, details);
            if is_web {
                let named = HeaderValue::from_static("grpc-status-details-bin");
                response.headers_mut().append(ACCESS_CONTROL_EXPOSE_HEADERS, named);
            }
        }
        response
    }
}

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

fn encoded(refusal: &Refusal, context: &RenderContext<'_>, head: &HeaderMap) -> Option<HeaderValue> {
    let code = Code::from_bytes(head.get(GRPC_STATUS)?.as_bytes());
    let mut details = ErrorDetails::new();
    if let Some(seconds) = context.retry_after() {
        details.set_retry_info(Some(std::time::Duration::from_secs(seconds.into())));
    }
    if code == Code::ResourceExhausted {
        details.add_quota_failure_violation(refusal.reason().name(), refusal.to_string());
    }
    let status = Status::with_error_details(code, refusal.to_string(), details);
    status.into_http::<()>().headers_mut().remove(DETAILS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;

    use super::*;
    use crate::{capacity::Reason, respond::RefusalWriter};

    fn answer(reason: Reason, content_type: &str) -> Response<Bytes> {
        let answers = RefusalWriter {
            renderer: Some(std::sync::Arc::new(GrpcWithDetails)),
            ..RefusalWriter::default()
        };
        let request = Request::post("/p.S/M").header("content-type", content_type).body(());
        answers.write(
            Refusal::new(reason),
            None,
            &mut request.expect("a request").into_parts().0,
        )
    }

    fn status(response: &Response<Bytes>) -> Status {
        Status::from_header_map(response.headers()).expect("a status")
    }

    #[test]
    fn tells_when_to_retry_and_what_is_used_up() {
        let response = answer(Reason::Space, "application/grpc");
        let status = status(&response);
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, Reason::Space.as_str())
        );
        let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let pushback: u64 = response.headers()["grpc-retry-pushback-ms"]
            .to_str()
            .expect("digits")
            .parse()
            .expect("a number");
        assert_eq!(delay, Some(Duration::from_millis(pushback)));
        let violations = status.get_details_quota_failure().expect("there is one").violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(
            (&*violations[0].subject, &*violations[0].description),
            ("space", Reason::Space.as_str())
        );
    }

    #[test]
    fn tells_nothing_that_is_not_so() {
        let never = status(&answer(Reason::TooLarge, "application/grpc"));
        assert!(never.get_details_retry_info().is_none());
        assert!(never.get_details_quota_failure().is_some());
        let unknown = status(&answer(Reason::Unmeasured, "application/grpc"));
        assert_eq!(unknown.code(), Code::Unavailable);
        assert!(unknown.get_details_retry_info().is_some());
        assert!(unknown.get_details_quota_failure().is_none());
    }

    #[test]
    fn details_change_nothing_else() {
        for (content_type, expected) in [
            ("application/grpc+proto", "application/grpc"),
            ("application/grpc-web+proto", "application/grpc-web+proto"),
        ] {
            for reason in Reason::ALL {
                let mut detailed = answer(reason, content_type);
                detailed.headers_mut().remove(DETAILS).expect("details");
                let request = Request::post("/p.S/M").header("content-type", content_type).body(());
                let mut parts = request.expect("a request").into_parts().0;
                let plain = RefusalWriter::default().write(Refusal::new(reason), None, &mut parts);
                assert_eq!(detailed.headers()["content-type"], expected);
                for name in ["content-type", "cache-control", "grpc-status", "grpc-message"] {
                    assert_eq!(detailed.headers().get(name), plain.headers().get(name), "{name}");
                }
                assert_eq!(detailed.status(), plain.status());
            }
        }
    }

    #[test]
    fn a_page_of_another_origin_may_read_them() {
        let response = answer(Reason::Space, "application/grpc-web+proto");
        let named: Vec<_> = response
            .headers()
            .get_all(ACCESS_CONTROL_EXPOSE_HEADERS)
            .iter()
            .collect();
        assert!(
            named.iter().any(|names| *names == "grpc-status-details-bin"),
            "{named:?}"
        );
    }
}
