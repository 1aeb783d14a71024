/// Who may use what of the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Priority {
    #[default]
    Usual,
    /// May use the part of a floor that is kept for such requests.
    Essential,
}

/// What a request would store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing that matters: the request is let through untouched.
    Exempt,
    /// This many bytes. More than that may still come; it is counted as it passes.
    Bytes(u64),
    /// This many bytes are stored, whatever of a body comes.
    Declared(u64),
    /// Something, of a length that shows only as it arrives.
    Unknown,
    /// Something without a length of its own, such as a directory or an empty file. It needs room all the same.
    Creates,
}
