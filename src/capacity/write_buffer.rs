/// How much of what it was handed the inner service may still have unwritten when it asks for more.
///
/// A hold closes early, piece by piece, under this contract: *when the service asks for the next frame, all but the
/// write buffer of what it was handed has been written.* Without early closing a large upload would count twice late in
/// its life, as reserved and as written, and others would be refused for no reason. A service that breaks the contract
/// can be let into a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBuffer {
    /// At most this many bytes are unwritten. So much of a body that streams counts twice when it is written at once, as
    /// held and as used: on a small volume a smaller buffer admits more. A body that fits never closes early, so services that collect small
    /// bodies before they write are safe as they are.
    Bytes(u64),
    /// The service collects whole bodies before it writes: holds stay whole until it is done.
    Whole,
}

impl Default for WriteBuffer {
    /// 8 MiB: four times what axum's extractors collect at most, and what tokio's files buffer.
    fn default() -> Self {
        Self::Bytes(8 << 20)
    }
}

/// Early closing goes in steps of this size, so that the usual frame costs two comparisons.
const STEP: u64 = 1 << 20;

/// When the next piece of one body's hold closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    write_buffer: u64,
    /// The relayed bytes at which it does.
    next: u64,
}

impl Closing {
    #[inline]
    pub(crate) fn new(write_buffer: WriteBuffer) -> Self {
        let write_buffer = match write_buffer {
            WriteBuffer::Bytes(bytes) => bytes,
            WriteBuffer::Whole => u64::MAX,
        };
        Self::from_parts(write_buffer, write_buffer.saturating_add(STEP))
    }

    /// Back from [two numbers](Self::to_parts).
    #[inline]
    pub(crate) const fn from_parts(write_buffer: u64, next: u64) -> Self {
        Self { write_buffer, next }
    }

    /// As two numbers, for a slot of atomics: the write buffer, and the relayed bytes at which the next piece closes.
    #[inline]
    pub(crate) const fn to_parts(self) -> (u64, u64) {
        (self.write_buffer, self.next)
    }

    /// The service asks for the next frame after so many bytes. Tells the bytes written before and now, when another piece
    /// can be closed.
    pub(crate) fn asked(&mut self, relayed: u64) -> Option<(u64, u64)> {
        if relayed < self.next {
            return None;
        }
        let before = self.written();
        self.next = relayed.saturating_add(STEP);
        Some((before, self.written()))
    }

    /// What was written when a piece was closed last. Follows from where the next one is.
    fn written(self) -> u64 {
        self.next.saturating_sub(STEP).saturating_sub(self.write_buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn closes_in_steps_behind_the_buffer() {
        let mut closing = Closing::new(WriteBuffer::Bytes(8 * MIB));
        let closed: Vec<_> = (0..=22).filter_map(|half| closing.asked(half * MIB / 2)).collect();
        assert_eq!(closed, [(0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB)]);
    }

    #[test]
    fn what_was_never_asked_for_again_proves_nothing() {
        let mut closing = Closing::new(WriteBuffer::Bytes(0));
        assert_eq!(closing.asked(0), None);
        assert_eq!(closing.written(), 0);
        assert_eq!(closing.asked(100 * MIB), Some((0, 100 * MIB)));
    }

    #[test]
    fn a_body_that_fits_the_buffer_and_a_whole_one_never_close_early() {
        assert_eq!(Closing::new(WriteBuffer::Bytes(8 * MIB)).asked(8 * MIB), None);
        assert_eq!(Closing::new(WriteBuffer::Whole).asked(u64::MAX - 1), None);
    }
}
