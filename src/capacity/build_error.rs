use std::{error::Error, fmt};

use crate::BoxError;

/// Why a resource, a ledger or a layer could not be built: the setting, its value, and what to do.
#[derive(Debug)]
pub struct BuildError {
    kind: BuildErrorKind,
    setting: &'static str,
    value: String,
    remedy: &'static str,
    source: Option<BoxError>,
}

/// The kinds of failure to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// A setting is missing, out of range, or contradicts another.
    InvalidSetting,
    /// The first measurement failed; the source tells why.
    FirstMeasurement,
    /// The store of a ledger could not be opened or will not do; the source tells why.
    Store,
    /// The file of a ledger's limits cannot be read or has a mistake in it; the source tells where.
    LimitsFile,
}

impl BuildError {
    pub(crate) fn invalid(setting: &'static str, value: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            kind: BuildErrorKind::InvalidSetting,
            setting,
            value: value.into(),
            remedy,
            source: None,
        }
    }

    pub(crate) fn first_measurement(resource: &str, source: impl Into<BoxError>) -> Self {
        Self {
            kind: BuildErrorKind::FirstMeasurement,
            setting: "resource",
            value: resource.to_owned(),
            remedy: "check that what it measures exists and answers",
            source: Some(source.into()),
        }
    }

    pub(crate) fn store(value: impl Into<String>, remedy: &'static str, source: impl Into<BoxError>) -> Self {
        Self {
            kind: BuildErrorKind::Store,
            setting: "store",
            value: value.into(),
            remedy,
            source: Some(source.into()),
        }
    }

    #[cfg(feature = "limits-file")]
    pub(crate) fn limits_file(path: &std::path::Path, source: impl Into<BoxError>) -> Self {
        Self {
            kind: BuildErrorKind::LimitsFile,
            setting: "limits_file",
            value: path.display().to_string(),
            remedy: "mend the file, or see to it that it exists and may be read",
            source: Some(source.into()),
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> BuildErrorKind {
        self.kind
    }

    /// The name of the setting that is at fault.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            remedy,
            source,
            ..
        } = self;
        match source {
            // The cause is told at once: whoever prints only this line at start-up must see the path.
            Some(cause) => {
                write!(f, "{setting} `{value}`: {cause}")?;
                if let Some(deeper) = cause.source() {
                    write!(f, ": {deeper}")?;
                }
                write!(f, "; {remedy}")
            }
            None => write!(f, "{setting} = {value}: {remedy}"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_setting_its_value_the_cause_and_the_remedy() {
        let error = BuildError::invalid("floor", "7", "give less");
        assert_eq!(error.to_string(), "floor = 7: give less");
        assert_eq!((error.setting(), error.source().is_none()), ("floor", true));
        let cause = std::io::Error::other(std::fmt::Error);
        let error = BuildError::first_measurement("disk", cause);
        let cause = error.source().expect("it has one").to_string();
        assert!(
            error.to_string().starts_with(&format!("resource `disk`: {cause}")),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .ends_with("; check that what it measures exists and answers")
        );
    }
}
