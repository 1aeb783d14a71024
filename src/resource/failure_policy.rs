use std::time::Duration;

/// What happens to requests while it is unknown how much room there is: the probe fails, or its last reading is older
/// than the age limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// Admit every request that could ever fit. A storage that reported `ENOSPC` stays closed until a later reading.
    Open,
    /// Refuse with 503: unknown is not full.
    Closed,
    /// Go on with the last account, which can only fall, and take the fallback when the failure lasts longer.
    Hold {
        /// How long to go on, counted from the first failure.
        at_most: Duration,
        /// What to do then.
        then: Fallback,
    },
}

/// What follows when a failure outlasts [`FailurePolicy::Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// As [`FailurePolicy::Open`].
    Open,
    /// As [`FailurePolicy::Closed`].
    Closed,
}

impl Default for FailurePolicy {
    /// Hold for 30 s, then closed.
    fn default() -> Self {
        Self::Hold {
            at_most: Duration::from_secs(30),
            then: Fallback::Closed,
        }
    }
}

impl FailurePolicy {
    /// What applies this long after the failure began; `None` means the last account.
    pub(crate) fn after(self, failing_for: Duration) -> Option<Fallback> {
        match self {
            Self::Open => Some(Fallback::Open),
            Self::Closed => Some(Fallback::Closed),
            Self::Hold { at_most, then } => (failing_for >= at_most).then_some(then),
        }
    }
}
