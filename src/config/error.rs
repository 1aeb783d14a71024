use std::{error::Error, fmt};

/// A file that is well written but does not fit the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    resource: String,
    known: Vec<String>,
}

impl ConfigError {
    pub(super) fn unknown_resource(resource: &str, known: Vec<String>) -> Self {
        Self {
            resource: resource.to_owned(),
            known,
        }
    }

    /// The key that is at fault.
    #[must_use]
    pub fn key(&self) -> String {
        format!("resources.{}", self.resource)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resources.{}: there is no such resource; ", self.resource)?;
        if self.known.is_empty() {
            return f.write_str("there is none at all");
        }
        write!(f, "name one of: {}", self.known.join(", "))
    }
}

impl Error for ConfigError {}
