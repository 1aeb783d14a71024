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

/// How far one body has come.
#[derive(Debug)]
pub(crate) struct Progress {
    relayed: u64,
    write_buffer: u64,
    /// The relayed bytes at which the next piece closes.
    next_close: u64,
}

impl Progress {
    #[inline]
    pub(crate) fn new(write_buffer: WriteBuffer) -> Self {
        let write_buffer = match write_buffer {
            WriteBuffer::Bytes(bytes) => bytes,
            WriteBuffer::Whole => u64::MAX,
        };
        Self {
            relayed: 0,
            write_buffer,
            next_close: write_buffer.saturating_add(STEP),
        }
    }

    /// Bytes that were handed on.
    #[inline]
    pub(crate) fn relayed(&self) -> u64 {
        self.relayed
    }

    /// The next frame is handed on.
    #[inline]
    pub(crate) fn relay(&mut self, bytes: u64) {
        self.relayed = self.relayed.saturating_add(bytes);
    }

    /// The service asks for the next frame. Tells the bytes written before and now, when another piece can be closed.
    #[inline]
    pub(crate) fn asked(&mut self) -> Option<(u64, u64)> {
        // A body of known length rarely gets here; the rest is kept out of its way.
        if self.relayed < self.next_close {
            None
        } else {
            Some(self.close_piece())
        }
    }

    #[cold]
    fn close_piece(&mut self) -> (u64, u64) {
        let before = self.written();
        self.next_close = self.relayed.saturating_add(STEP);
        (before, self.written())
    }

    /// What was written when a piece was closed last. Follows from where the next one is, so that a body is smaller.
    fn written(&self) -> u64 {
        self.next_close.saturating_sub(STEP).saturating_sub(self.write_buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn closes_in_steps_behind_the_buffer() {
        let mut progress = Progress::new(WriteBuffer::Bytes(8 * MIB));
        let mut closed = Vec::new();
        for _ in 0..22 {
            closed.extend(progress.asked());
            progress.relay(MIB / 2);
        }
        closed.extend(progress.asked());
        assert_eq!(closed, [(0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB)]);
    }

    #[test]
    fn what_was_never_asked_for_again_proves_nothing() {
        let mut progress = Progress::new(WriteBuffer::Bytes(0));
        assert_eq!(progress.asked(), None);
        progress.relay(100 * MIB);
        assert_eq!(progress.written(), 0);
        assert_eq!(progress.asked(), Some((0, 100 * MIB)));
    }

    #[test]
    fn a_body_that_fits_the_buffer_and_a_whole_one_never_close_early() {
        let mut small = Progress::new(WriteBuffer::Bytes(8 * MIB));
        small.relay(8 * MIB);
        assert_eq!(small.asked(), None);
        let mut whole = Progress::new(WriteBuffer::Whole);
        whole.relay(u64::MAX - 1);
        assert_eq!(whole.asked(), None);
    }
}
