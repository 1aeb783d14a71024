/// What a request asks for, as independent facts. A request that stores nothing has no claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Bytes to reserve before the request runs.
    pub(crate) bytes: u64,
    /// Nothing vouches for the length: the body may bring more than `bytes`.
    pub(crate) may_grow: bool,
    /// Something is stored even if the body is never read, such as a collection or an empty file.
    pub(crate) creates: bool,
    pub(crate) priority: Priority,
    /// Bytes that the handler stores from elsewhere than the body, such as those of a copy.
    pub(crate) stored_elsewhere: u64,
    /// Bytes that the handler may allocate on the disk although the body brings none of them.
    pub(crate) may_allocate: u64,
}

/// Which part of the floor a request may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Priority {
    #[default]
    Usual,
    /// May use the part of a floor that is kept for essential requests.
    Essential,
}
