use crate::capacity::WriteBuffer;

/// What a layer asks of every request, whatever its resources say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The largest body, in bytes.
    pub(crate) maximum: u64,
    /// What something without a length of its own is taken for, in bytes.
    pub(crate) minimum: u64,
    pub(crate) require_length: bool,
    pub(crate) write_buffer: WriteBuffer,
    /// Nothing is refused, but all is reported.
    pub(crate) report_only: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            maximum: u64::MAX,
            minimum: 0,
            require_length: false,
            write_buffer: WriteBuffer::default(),
            report_only: false,
        }
    }
}
