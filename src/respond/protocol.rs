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
mod problem;
mod resumable_upload;
mod s3;
mod text;
mod tus;
mod webdav;

use bytes::Bytes;
#[cfg(feature = "grpc-details")]
pub use grpc_details::GrpcWithDetails;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};

use super::{RenderContext, Renderer, format::Format};
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
    /// `DAV:error` with the conditions of RFC 4331.
    WebDav,
    /// Trailers-only with `RESOURCE_EXHAUSTED`.
    Grpc,
    /// The same for browsers.
    GrpcWeb,
    /// Connect, unary or streaming by the content type.
    Connect,
    /// S3's XML.
    S3,
    /// The JSON of the OCI distribution specification: container registries.
    Oci,
    /// Git LFS.
    GitLfs,
    /// OTLP/HTTP. Exporters drop what is answered with 507, so what may pass is told with 503 (or 429, if that is the
    /// layer's temporary status).
    Otlp,
    /// tus 1.0.
    Tus,
    /// Resumable uploads of the IETF.
    ResumableUpload,
}

impl Renderer for Protocol {
    fn render(&self, refusal: &Refusal, context: &RenderContext<'_>) -> Response<Bytes> {
        Wording::of(*self, context.headers())
            .renderer()
            .render(refusal, context)
    }
}

/// A protocol and its dialect. Small and `Copy`, so that it can be kept for an answer that comes late, when the request's
/// head is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wording {
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

impl Wording {
    /// That of a protocol, in the dialect that the headers speak.
    #[inline]
    pub(super) fn of(protocol: Protocol, headers: &HeaderMap) -> Self {
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
        match Format::preferred(headers) {
            Format::Problem => Self::Problem,
            Format::Page => Self::Page,
            Format::Text => Self::Text,
        }
    }

    /// The protocol that the request speaks, as far as it shows.
    pub(super) fn detect(parts: &Parts) -> Self {
        let headers = &parts.headers;
        let content_type = content_type(headers);
        let has = |name: &'static str| headers.contains_key(HeaderName::from_static(name));
        if starts_with(content_type, "application/grpc-web") {
            Self::GrpcWeb
        } else if starts_with(content_type, "application/grpc") {
            Self::Grpc
        } else if starts_with(content_type, "application/connect+") || has("connect-protocol-version") {
            connect_dialect(content_type)
        } else if has("tus-resumable") {
            Self::Tus
        } else if has("upload-draft-interop-version") || has("upload-complete") {
            Self::ResumableUpload
        } else if git_lfs::is_spoken(headers) {
            Self::GitLfs
        } else if has("x-amz-content-sha256") || has("x-amz-date") || is_signed_for_s3(headers) {
            Self::S3
        } else if starts_with(content_type, "application/x-protobuf") && otlp::is_path(parts.uri.path()) {
            Self::Otlp
        } else if oci::is_path(parts.uri.path()) {
            Self::Oci
        } else if webdav::is_method(&parts.method) {
            Self::WebDav
        } else {
            Self::preferred(headers)
        }
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

fn connect_dialect(content_type: &[u8]) -> Wording {
    if starts_with(content_type, "application/connect+json") {
        Wording::ConnectStreamJson
    } else if starts_with(content_type, "application/connect+") {
        Wording::ConnectStream
    } else {
        Wording::ConnectUnary
    }
}

fn is_signed_for_s3(headers: &HeaderMap) -> bool {
    headers
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"))
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
