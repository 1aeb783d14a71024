//! The shapes that protocols on top of HTTP give to an error.

mod connect;
mod git_lfs;
mod grpc;
#[cfg(feature = "grpc-details")]
mod grpc_details;
mod grpc_web;
mod oci;
mod otlp;
mod page;
pub(super) mod problem;
mod resumable_upload;
mod s3;
mod text;
mod tus;
mod webdav;

use bytes::Bytes;
#[cfg(feature = "grpc-details")]
pub use grpc_details::GrpcWithDetails;
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};

use super::{HeadRef, RenderContext, Renderer, format::Format};
use crate::capacity::Refusal;

/// A protocol on top of HTTP, with a shape of its own for errors.
///
/// By default the layer finds it out from the request: by its content type, its headers, its method. A route whose
/// clients all speak the same is better told so, because some protocols cannot be told from plain HTTP (a WebDAV `PUT`).
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
    /// S3's XML (Amazon S3 API reference, "Error responses"). What never fits is told with 400, as S3 does.
    S3,
    /// The JSON of the OCI distribution specification, "Error codes": container registries.
    Oci,
    /// Git LFS (its batch API, "Response errors").
    GitLfs,
    /// OTLP/HTTP (OpenTelemetry protocol, "Failures"). Exporters drop what is answered with 507, so what may pass is told with 503 (or 429, if that is the
    /// layer's temporary status).
    Otlp,
    /// tus 1.0 (tus.io/protocols/resumable-upload).
    Tus,
    /// Resumable uploads of the IETF (draft-ietf-httpbis-resumable-upload).
    ResumableUpload,
}

impl Renderer for Protocol {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        Dialect::resolve(*self, context.headers())
            .renderer()
            .render(refusal, context)
    }
}

/// A protocol, with what varies in it from client to client. One byte, so that it can be kept for an answer that comes when
/// the request's head is gone.
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
    /// That of a protocol, in the dialect that the headers speak.
    #[inline]
    pub(super) fn resolve(protocol: Protocol, headers: &HeaderMap) -> Self {
        match protocol {
            Protocol::Http => Self::preferred(headers),
            Protocol::WebDav => Self::WebDav,
            Protocol::Grpc => Self::Grpc,
            Protocol::GrpcWeb => Self::GrpcWeb,
            Protocol::Connect => connect_dialect(content_type(headers)),
            Protocol::S3 => Self::S3,
            Protocol::Oci => Self::Oci,
            Protocol::GitLfs => Self::GitLfs,
            Protocol::Otlp if starts_with(content_type(headers), "application/json") => Self::OtlpJson,
            Protocol::Otlp => Self::Otlp,
            Protocol::Tus => Self::Tus,
            Protocol::ResumableUpload => Self::ResumableUpload,
        }
    }

    /// That of plain HTTP, by `Accept`.
    #[inline]
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        Self::from(Format::preferred(headers))
    }

    /// That of plain HTTP, in place of an answer with these headers.
    pub(super) fn in_place_of(headers: &HeaderMap) -> Self {
        if starts_with(content_type(headers), "text/html") {
            Self::Page
        } else {
            Self::Problem
        }
    }

    /// The protocol that the request speaks, as far as it shows.
    pub(super) fn detect(request: HeadRef<'_>) -> Self {
        let mut hints = ProtocolHints::default();
        for (name, value) in request.headers {
            hints.record(name.as_str(), value);
        }
        hints.dialect(request)
    }

    pub(super) fn renderer(self) -> &'static dyn Renderer {
        match self {
            Self::Problem => &problem::Problem,
            Self::Page => &page::Page,
            Self::Text => &text::Text,
            Self::WebDav => &webdav::WebDav,
            Self::Grpc => &grpc::Grpc,
            Self::GrpcWeb => &grpc_web::GrpcWeb,
            Self::ConnectUnary => &connect::Unary,
            Self::ConnectStream => &connect::Stream("application/connect+proto"),
            Self::ConnectStreamJson => &connect::Stream("application/connect+json"),
            Self::S3 => &s3::S3,
            Self::Oci => &oci::Oci,
            Self::GitLfs => &git_lfs::GitLfs,
            Self::Otlp => &otlp::Otlp,
            Self::OtlpJson => &otlp::OtlpJson,
            Self::Tus => &tus::Tus,
            Self::ResumableUpload => &resumable_upload::ResumableUpload,
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

/// What a request's headers show of its protocol. Recorded in one pass: looking up each of them takes ten times as long as
/// the rest of a decision.
#[derive(Default)]
pub(super) struct ProtocolHints<'a> {
    content_type: Option<&'a HeaderValue>,
    accept: Option<&'a HeaderValue>,
    /// There is more than one `Accept`.
    accepts_more: bool,
    connect: bool,
    tus: bool,
    resumable_upload: bool,
    s3: bool,
}

impl<'a> ProtocolHints<'a> {
    /// Records one header.
    #[inline(always)]
    pub(super) fn record(&mut self, name: &str, value: &'a HeaderValue) {
        match name {
            "accept" => {
                self.accepts_more = self.accept.is_some();
                self.accept = self.accept.or(Some(value));
            }
            "content-type" => self.content_type = self.content_type.or(Some(value)),
            "connect-protocol-version" => self.connect = true,
            "tus-resumable" => self.tus = true,
            "upload-draft-interop-version" | "upload-complete" => self.resumable_upload = true,
            "x-amz-content-sha256" | "x-amz-date" => self.s3 = true,
            "authorization" => self.s3 |= value.as_bytes().starts_with(b"AWS4-"),
            _ => {}
        }
    }

    /// The dialect that the whole request shows.
    pub(super) fn dialect(&self, request: HeadRef<'_>) -> Dialect {
        let headers = request.headers;
        let content_type = self.content_type.map_or(&[][..], HeaderValue::as_bytes);
        // Of `application/grpc`, `application/connect+` and `application/x-protobuf`; a comparison takes longer than this.
        let of_ours = matches!(content_type.get(12), Some(b'g' | b'G' | b'c' | b'C' | b'x' | b'X'));
        let content_type = if of_ours || self.connect { content_type } else { &[] };
        if starts_with(content_type, "application/grpc-web") {
            Dialect::GrpcWeb
        } else if starts_with(content_type, "application/grpc") {
            Dialect::Grpc
        } else if starts_with(content_type, "application/connect+") || self.connect {
            connect_dialect(content_type)
        } else if self.tus {
            Dialect::Tus
        } else if self.resumable_upload {
            Dialect::ResumableUpload
        } else if [self.accept, self.content_type]
            .into_iter()
            .flatten()
            .any(git_lfs::is_type)
        {
            Dialect::GitLfs
        } else if self.s3 {
            Dialect::S3
        } else if starts_with(content_type, "application/x-protobuf") && otlp::is_path(request.uri.path()) {
            Dialect::Otlp
        } else if oci::is_path(request.uri.path()) {
            Dialect::Oci
        } else if webdav::is_method(request.method) {
            Dialect::WebDav
        } else {
            Dialect::from(Format::preferred_by(self.accept, self.accepts_more, headers))
        }
    }
}

fn connect_dialect(content_type: &[u8]) -> Dialect {
    if starts_with(content_type, "application/connect+json") {
        Dialect::ConnectStreamJson
    } else if starts_with(content_type, "application/connect+") {
        Dialect::ConnectStream
    } else {
        Dialect::ConnectUnary
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

/// A response with a body of one type.
fn document(status: http::StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
