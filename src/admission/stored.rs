/// What a request changed in what its tenants have stored, in bytes: put by a handler into the extensions of its response.
/// Less than zero frees: after a delete, or when a file was replaced by a smaller one. It counts whatever the response's
/// status is.
///
/// Without it a request whose response [says so](crate::StorageGuardBuilder::stored_if) counts with the bytes of its body
/// that were handed on, and any other with nothing.
///
/// ```
/// use http::Response;
/// use tower_storage_guard::Stored;
///
/// fn replaced(before: u64, after: u64) -> Response<()> {
///     let mut response = Response::new(());
///     response.extensions_mut().insert(Stored::instead_of(before, after));
///     response
/// }
/// # assert_eq!(replaced(10, 4).extensions().get::<Stored>(), Some(&Stored(-6)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored(pub i64);

impl Stored {
    /// So many bytes where nothing was before.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self::instead_of(0, bytes)
    }

    /// So many bytes are gone.
    #[must_use]
    pub const fn freed(bytes: u64) -> Self {
        Self::instead_of(bytes, 0)
    }

    /// `after` bytes where `before` were.
    #[must_use]
    pub const fn instead_of(before: u64, after: u64) -> Self {
        // Saturates where a difference is larger than anybody has.
        if after >= before {
            let more = after - before;
            Self(if more > i64::MAX as u64 { i64::MAX } else { more as i64 })
        } else {
            let less = before - after;
            Self(if less > i64::MAX as u64 {
                i64::MIN
            } else {
                -(less as i64)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_saturates() {
        assert_eq!(Stored::new(7), Stored(7));
        assert_eq!(Stored::freed(7), Stored(-7));
        assert_eq!(Stored::instead_of(10, 4), Stored(-6));
        assert_eq!(Stored::instead_of(4, 10), Stored(6));
        assert_eq!(Stored::instead_of(4, 4), Stored(0));
        let most = i64::MAX as u64;
        assert_eq!(Stored::new(most), Stored(i64::MAX));
        assert_eq!(Stored::new(most + 1), Stored(i64::MAX));
        assert_eq!(Stored::freed(most), Stored(-i64::MAX));
        assert_eq!(Stored::freed(most + 1), Stored(i64::MIN));
        assert_eq!(Stored::freed(u64::MAX), Stored(i64::MIN));
    }
}
