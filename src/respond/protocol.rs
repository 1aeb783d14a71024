//! The shapes that protocols on top of HTTP give to an error.

mod connect;
mod document;
mod git_lfs;
mod grpc;
#[cfg(feature = "grpc-details")]
mod grpc_details;
mod hints;
mod oci;
mod otlp;
mod page;
mod problem;
mod resumable_upload;
mod s3;
mod text;
mod tus;
mod webdav;

use std::sync::OnceLock;

use bytes::Bytes;
#[cfg(feature = "grpc-details")]
pub use grpc_details::GrpcWithDetails;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

pub(super) use self::{document::Document, hints::ProtocolHints};
use super::{HeadRef, RenderContext, Renderer, format::Format};
use crate::capacity::{Reason, Refusal};

/// A protocol on top of HTTP, with a shape of its own for errors.
///
/// By default the layer detects it from the request's content type, headers, method and path. Set it for a route whose
/// clients all speak the same protocol, because some requests look like plain HTTP (a WebDAV `PUT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// Problem details, HTML or plain text, by `Accept` (RFC 9457).
    Http,
    /// `DAV:error` (RFC 4918 section 16) with the conditions of RFC 4331 section 6.
    WebDav,
    /// Trailers-only with `RESOURCE_EXHAUSTED` (gRPC's PROTOCOL-HTTP2.md), and `grpc-retry-pushback-ms`.
    Grpc,
    /// The same for browsers (gRPC's PROTOCOL-WEB.md).
    GrpcWeb,
    /// Connect (connectrpc.com/docs/protocol), unary or streaming by the content type.
    Connect,
    /// S3's XML (Amazon S3 API reference, "Error responses"). What never fits gets 400, as S3 does.
    S3,
    /// The JSON of the OCI distribution specification, "Error codes": container registries.
    Oci,
    /// Git LFS (its batch API, "Response errors").
    GitLfs,
    /// OTLP/HTTP (OpenTelemetry protocol, "Failures"). Exporters drop what is answered with 507, so temporary refusals
    /// get 503, or 429 if that is the layer's temporary status.
    Otlp,
    /// tus 1.0 (tus.io/protocols/resumable-upload).
    Tus,
    /// Resumable uploads of the IETF (draft-ietf-httpbis-resumable-upload).
    ResumableUpload,
}

impl Renderer for Protocol {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        Dialect::resolve(*self, context.headers()).render(refusal, context)
    }
}

/// A protocol, with what varies in it from client to client. One byte, so that it can be kept for a late answer, when the
/// request's head is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    Problem,
    Page,
    Text,
    WebDav,
    Grpc,
    GrpcWeb,
    ConnectUnary,
    ConnectStream,
    ConnectStreamJson,
    S3,
    Oci,
    GitLfs,
    Otlp,
    OtlpJson,
    Tus,
    ResumableUpload,
}

impl Dialect {
    const ALL: [Self; 16] = [
        Self::Problem,
        Self::Page,
        Self::Text,
        Self::WebDav,
        Self::Grpc,
        Self::GrpcWeb,
        Self::ConnectUnary,
        Self::ConnectStream,
        Self::ConnectStreamJson,
        Self::S3,
        Self::Oci,
        Self::GitLfs,
        Self::Otlp,
        Self::OtlpJson,
        Self::Tus,
        Self::ResumableUpload,
    ];

    /// Returns a number above 0 that stands for the dialect.
    pub(crate) const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// Returns the dialect with this number, and none for 0.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code.checked_sub(1)?)).copied()
    }

    /// Returns the dialect of a protocol that the headers ask for.
    #[inline]
    pub(super) fn resolve(protocol: Protocol, headers: &HeaderMap) -> Self {
        match protocol {
            Protocol::Http => Format::preferred(headers).into(),
            Protocol::WebDav => Self::WebDav,
            Protocol::Grpc => Self::Grpc,
            Protocol::GrpcWeb => Self::GrpcWeb,
            Protocol::Connect => connect::dialect(content_type(headers)),
            Protocol::S3 => Self::S3,
            Protocol::Oci => Self::Oci,
            Protocol::GitLfs => Self::GitLfs,
            Protocol::Otlp if starts_with(content_type(headers), "application/json") => Self::OtlpJson,
            Protocol::Otlp => Self::Otlp,
            Protocol::Tus => Self::Tus,
            Protocol::ResumableUpload => Self::ResumableUpload,
        }
    }

    /// Returns the dialect of plain HTTP for a refusal that replaces an answer with these headers.
    pub(super) fn in_place_of(headers: &HeaderMap) -> Self {
        if starts_with(content_type(headers), "text/html") {
            Self::Page
        } else {
            Self::Problem
        }
    }

    /// Detects the dialect from the request.
    pub(super) fn detect(request: HeadRef<'_>) -> Self {
        let mut hints = ProtocolHints::default();
        for (name, value) in request.headers {
            hints.record(name.as_str(), value);
        }
        hints.dialect(request)
    }

    /// Returns whether a request with an empty body may announce bytes that later requests bring.
    pub(super) fn announces_later_bytes(self) -> bool {
        matches!(self, Self::Tus | Self::ResumableUpload)
    }

    /// Writes the answer, without the headers that all dialects share.
    fn render(self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        let reason = refusal.reason();
        let document = self.document(reason, context.status());
        let mut response = Response::new(Bytes::from_static(document.body));
        *response.status_mut() = document.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, document.content_type.clone());
        self.insert_own_headers(headers, reason, context.retry_after(), || context.max_body());
        response
    }

    /// Returns the document for a refusal with this reason and status.
    ///
    /// Each is written once: there are few, and writing one takes longer than the rest of a refusal.
    #[inline]
    pub(super) fn document(self, reason: Reason, status: StatusCode) -> &'static Document {
        type ByStatus = [OnceLock<&'static Document>; 4];
        static DOCUMENTS: [[ByStatus; Reason::ALL.len()]; Dialect::ALL.len()] =
            [const { [const { [const { OnceLock::new() }; 4] }; Reason::ALL.len()] }; Dialect::ALL.len()];
        // A reason has one of these three, or always the same other one.
        let kind = match status {
            StatusCode::INSUFFICIENT_STORAGE => 0,
            StatusCode::SERVICE_UNAVAILABLE => 1,
            StatusCode::TOO_MANY_REQUESTS => 2,
            _ => 3,
        };
        #[expect(clippy::indexing_slicing, reason = "each index is less than what the array counts")]
        let document = &DOCUMENTS[self as usize][reason as usize][kind];
        document.get_or_init(|| Box::leak(Box::new(self.write(reason, status))))
    }

    #[cold]
    fn write(self, reason: Reason, status: StatusCode) -> Document {
        match self {
            Self::Problem | Self::ResumableUpload => problem::document(reason, status),
            Self::Page => page::document(reason, status),
            Self::Text | Self::Tus => text::document(reason, status),
            Self::WebDav => webdav::document(reason, status),
            Self::Grpc => grpc::document("application/grpc"),
            Self::GrpcWeb => grpc::document("application/grpc-web+proto"),
            Self::ConnectUnary => connect::unary(reason),
            Self::ConnectStream => connect::stream(reason, "application/connect+proto"),
            Self::ConnectStreamJson => connect::stream(reason, "application/connect+json"),
            Self::S3 => s3::document(reason, status),
            Self::Oci => oci::document(reason, status),
            Self::GitLfs => git_lfs::document(reason, status),
            Self::Otlp => otlp::protobuf(reason, status),
            Self::OtlpJson => otlp::json(reason, status),
        }
    }

    /// Inserts the headers that this dialect alone has.
    #[inline]
    pub(super) fn insert_own_headers(
        self,
        headers: &mut HeaderMap,
        reason: Reason,
        retry_after: Option<u32>,
        max_body: impl FnOnce() -> Option<u64>,
    ) {
        match self {
            Self::Grpc => grpc::insert_status(headers, reason, retry_after),
            Self::GrpcWeb => {
                grpc::insert_status(headers, reason, retry_after);
                grpc::expose_status(headers);
            }
            Self::Tus => tus::insert_headers(headers, max_body()),
            Self::ResumableUpload => resumable_upload::insert_limit(headers, max_body()),
            _ => {}
        }
    }
}

impl From<Format> for Dialect {
    fn from(format: Format) -> Self {
        match format {
            Format::Problem => Self::Problem,
            Format::Page => Self::Page,
            Format::Text => Self::Text,
        }
    }
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers.get(CONTENT_TYPE).map_or(&[], HeaderValue::as_bytes)
}

fn starts_with(value: &[u8], start: &str) -> bool {
    value
        .get(..start.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(start.as_bytes()))
}

#[cfg(test)]
mod tests;
