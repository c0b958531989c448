//! Why the rules of a distribution cannot be followed.

use crate::model::{ErrorKind, IndexId, PackageName, Version};

/// What a rule selects is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A filter list says `error` for a package that came.
    #[error("rule `{rule}` offers `{package}` `{version}` for `{index}`, which its filter list calls an error")]
    Unexpected {
        /// The rule.
        rule: String,
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
        /// Where it would go.
        index: IndexId,
    },
    /// So much would be deleted that what the rules read may be empty by mistake.
    #[error("{gone} of {all} packages of `{index}` would be deleted: is what the rules read whole?")]
    ManyDeletes {
        /// The index.
        index: IndexId,
        /// How many would be deleted.
        gone: usize,
        /// How many there are.
        all: usize,
    },
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::General
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ManyDeletes { .. } => Some("if it is meant, use --noonlysmalldeletes".into()),
            _ => None,
        }
    }
}
