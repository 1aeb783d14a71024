use std::{fmt, sync::Arc};

use crate::{Resource, State, StorageGuardLayer};

/// Whether uploads are taken, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Readiness {
    /// Room enough.
    Ready,
    /// Everything that fits is taken, and it is time to make room.
    Near,
    /// Nothing is taken: a floor is reached, something cannot be written to or has no inode left, or nobody knows and the
    /// failure policy is to refuse.
    Full,
}

impl Readiness {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Near => "near",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Tells the [`Readiness`] of some resources: the worst of them. Looks at what is known already and never measures, so a
/// probe that hangs holds up nobody.
///
/// ```
/// use tower_storage_guard::{Readiness, ReadinessHandle, Resource};
///
/// # fn main() -> Result<(), tower_storage_guard::BuildError> {
/// # let path = std::env::temp_dir();
/// let disk = Resource::disk(path).build()?;
/// let readiness = ReadinessHandle::new([disk]);
/// if readiness.now() == Readiness::Full {
///     println!("send uploads elsewhere");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ReadinessHandle {
    resources: Arc<[Resource]>,
    layers: Arc<[StorageGuardLayer]>,
}

impl ReadinessHandle {
    /// That of these resources.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        Self::of(resources.into_iter().collect(), Vec::new())
    }

    pub(super) fn of(resources: Vec<Resource>, layers: Vec<StorageGuardLayer>) -> Self {
        Self {
            resources: resources.into(),
            layers: layers.into(),
        }
    }

    /// How ready they are now.
    #[must_use]
    pub fn now(&self) -> Readiness {
        self.resources
            .iter()
            .map(|resource| {
                let report = resource.report();
                match report.state {
                    _ if report.closed => Readiness::Full,
                    State::Near => Readiness::Near,
                    _ => Readiness::Ready,
                }
            })
            .max()
            .unwrap_or(Readiness::Ready)
    }

    /// Whether uploads are refused now. `false` while every layer only reports.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let only_reports = !self.layers.is_empty() && self.layers.iter().all(|layer| layer.report().report_only);
        !only_reports && self.now() == Readiness::Full
    }
}
