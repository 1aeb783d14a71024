/// How much of the relayed body the inner service may hold unwritten when it asks for the next frame.
///
/// A reservation can close early, piece by piece, under this contract: *when the service asks for the next frame, all but
/// the write buffer of what it received has been written.* Without early closing, a large upload counts twice late in its
/// life, as reserved and as written, and other requests are refused although they fit. A service that breaks the contract
/// can be admitted into a full disk, so it has to be declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteBuffer {
    /// A streaming handler, with at most this many bytes unwritten. So many bytes of a flowing body count twice if they are
    /// written at once; on a small volume a smaller buffer admits more. 8 MiB is a safe value for handlers that write
    /// each frame: it is four times what a `tokio::fs::File` buffers at most.
    Bytes(u64),
    /// The service may collect whole bodies before it writes: reservations stay whole until it is done. The default,
    /// since handlers that collect are the commonest.
    #[default]
    Whole,
}

/// Early closing goes in steps of this size, so that the usual frame costs two comparisons.
const STEP: u64 = 1 << 20;

/// When the next piece of one body's reservation closes.
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

    /// The service asks for the next frame after so many bytes. Returns the bytes that were written before and are now, if
    /// another piece can be closed.
    pub(crate) fn advance(&mut self, relayed: u64) -> Option<(u64, u64)> {
        if relayed < self.next {
            return None;
        }
        let before = self.written();
        self.next = relayed.saturating_add(STEP);
        Some((before, self.written()))
    }

    /// The bytes that are closed as written. Follows from where the next piece closes.
    pub(crate) fn written(self) -> u64 {
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
        let closed: Vec<_> = (0..=22).filter_map(|half| closing.advance(half * MIB / 2)).collect();
        assert_eq!(closed, [(0, MIB), (MIB, 2 * MIB), (2 * MIB, 3 * MIB)]);
    }

    #[test]
    fn what_was_never_asked_for_again_proves_nothing() {
        let mut closing = Closing::new(WriteBuffer::Bytes(0));
        assert_eq!(closing.advance(0), None);
        assert_eq!(closing.written(), 0);
        assert_eq!(closing.advance(100 * MIB), Some((0, 100 * MIB)));
    }

    #[test]
    fn a_body_that_fits_the_buffer_and_a_whole_one_never_close_early() {
        assert_eq!(Closing::new(WriteBuffer::Bytes(8 * MIB)).advance(8 * MIB), None);
        assert_eq!(Closing::new(WriteBuffer::Whole).advance(u64::MAX - 1), None);
    }
}
