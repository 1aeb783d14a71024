use http::{HeaderValue, StatusCode};

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
