use std::sync::OnceLock;

use http::{HeaderValue, StatusCode};

use super::{Dialect, connect, git_lfs, grpc, oci, otlp, page, problem, s3, text, webdav};
use crate::capacity::Reason;

/// An answer without the headers that vary.
pub(in crate::respond) struct Document {
    pub(in crate::respond) status: StatusCode,
    pub(in crate::respond) content_type: HeaderValue,
    pub(in crate::respond) content_length: HeaderValue,
    pub(in crate::respond) body: &'static [u8],
}

impl Document {
    /// Leaks the body: a document is kept forever.
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body: &'static [u8] = body.into().leak();
        Self {
            status,
            content_type: HeaderValue::from_static(content_type),
            content_length: HeaderValue::from_static(body.len().to_string().leak()),
            body,
        }
    }
}

impl Dialect {
    /// Returns the document for a refusal with this reason and status.
    ///
    /// Each is written once: there are few, and writing one takes longer than the rest of a refusal.
    #[inline]
    pub(in crate::respond) fn document(self, reason: Reason, status: StatusCode) -> &'static Document {
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
}
