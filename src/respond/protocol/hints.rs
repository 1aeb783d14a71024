use http::{HeaderValue, Method};

use super::{Dialect, connect, git_lfs, oci, otlp, starts_with, webdav};
use crate::respond::{HeadRef, format::Format};

/// What a request's headers show of its protocol. Recorded in one pass: looking up each of them takes ten times as long
/// as the rest of a decision.
#[derive(Default)]
pub(in crate::respond) struct ProtocolHints<'a> {
    content_type: Option<&'a HeaderValue>,
    accept: Option<&'a HeaderValue>,
    /// There is more than one `Accept`.
    accepts_more: bool,
    /// A bit for each of the marks below.
    marks: u8,
}

impl<'a> ProtocolHints<'a> {
    const CONNECT: u8 = 1;
    const TUS: u8 = 2;
    const RESUMABLE_UPLOAD: u8 = 4;
    const S3: u8 = 8;

    /// Records one header. The length of its name tells most headers from the few that matter.
    #[inline(always)]
    pub(in crate::respond) fn record(&mut self, name: &str, value: &'a HeaderValue) {
        match name.len() {
            6 if name == "accept" => {
                self.accepts_more = self.accept.is_some();
                self.accept = self.accept.or(Some(value));
            }
            12 if name == "content-type" => self.content_type = self.content_type.or(Some(value)),
            10 | 13 | 15 | 20 | 24 | 28 if name != "user-agent" => self.record_mark(name, value),
            _ => {}
        }
    }

    #[inline(never)]
    fn record_mark(&mut self, name: &str, value: &HeaderValue) {
        self.marks |= match name {
            "connect-protocol-version" => Self::CONNECT,
            "tus-resumable" => Self::TUS,
            "upload-draft-interop-version" | "upload-complete" => Self::RESUMABLE_UPLOAD,
            "x-amz-content-sha256" | "x-amz-date" => Self::S3,
            "authorization" if value.as_bytes().starts_with(b"AWS4-") => Self::S3,
            _ => 0,
        };
    }

    /// Returns the dialect of the whole request.
    #[inline]
    pub(in crate::respond) fn dialect(&self, request: HeadRef<'_>) -> Dialect {
        let is_plain = self.marks == 0
            && !self.may_have_known_type()
            && !self.accepts_more
            && self.accept.is_none_or(|accept| accept.as_bytes() == b"*/*")
            && matches!(*request.method, Method::POST | Method::PUT | Method::PATCH)
            && !request.uri.path().starts_with("/v2/");
        if is_plain {
            return Dialect::Problem;
        }
        self.dialect_slow(request)
    }

    /// Whether the content type may be one of those that tell a protocol. Only those begin with such a letter after
    /// `application/`: `grpc`, `connect+`, `x-protobuf` and `vnd.git-lfs+json`.
    #[inline(always)]
    fn may_have_known_type(&self) -> bool {
        let letter = self.content_type.and_then(|value| value.as_bytes().get(12));
        matches!(letter, Some(b'g' | b'G' | b'c' | b'C' | b'x' | b'X' | b'v'))
    }

    #[inline(never)]
    pub(super) fn dialect_slow(&self, request: HeadRef<'_>) -> Dialect {
        let content_type = self.content_type.map_or(&[][..], HeaderValue::as_bytes);
        if starts_with(content_type, "application/grpc-web") {
            Dialect::GrpcWeb
        } else if starts_with(content_type, "application/grpc") {
            Dialect::Grpc
        } else if starts_with(content_type, "application/connect+") || self.has(Self::CONNECT) {
            connect::dialect(content_type)
        } else if self.has(Self::TUS) {
            Dialect::Tus
        } else if self.has(Self::RESUMABLE_UPLOAD) {
            Dialect::ResumableUpload
        } else if [self.accept, self.content_type]
            .into_iter()
            .flatten()
            .any(git_lfs::is_type)
        {
            Dialect::GitLfs
        } else if self.has(Self::S3) {
            Dialect::S3
        } else if starts_with(content_type, "application/x-protobuf") && otlp::is_path(request.uri.path()) {
            Dialect::Otlp
        } else if oci::is_path(request.uri.path()) {
            Dialect::Oci
        } else if webdav::is_method(request.method) {
            Dialect::WebDav
        } else {
            Format::preferred_by(self.accept, self.accepts_more, request.headers).into()
        }
    }

    fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }
}
