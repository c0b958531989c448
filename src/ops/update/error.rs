//! Why a distribution could not be brought up to date with its upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use crate::mirror;
use crate::model::{ErrorKind, IndexId, PackageName, Version};

/// An update failed, for one distribution or for several.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An upstream cannot be used.
    #[error("update rule `{rule}` fails")]
    Upstream {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: mirror::Error,
    },
    /// A transfer cannot be started at all.
    #[error(transparent)]
    Transfer(#[from] mirror::Error),
    /// An upstream's index has a stanza that is no package.
    #[error("update rule `{rule}` fails: `{list}`, stanza of `{package}`: {problem}", list = list.display())]
    Stanza {
        /// The rule.
        rule: String,
        /// The copy of the index.
        list: PathBuf,
        /// The package, as far as it can be told.
        package: String,
        /// What is wrong.
        problem: String,
    },
    /// A filter list says `error` for a package that came.
    #[error("update rule `{rule}` offers `{package}` `{version}` for `{index}`, which its filter list calls an error")]
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
    /// A package is not what the upstream's index says.
    #[error("`{url}` is not the package that the index of rule `{rule}` describes: {problem}")]
    OtherPackage {
        /// Where it came from.
        url: String,
        /// The rule.
        rule: String,
        /// How it differs.
        problem: String,
    },
    /// Two upstreams, or two packages of one, want different files at one place.
    #[error("two packages want different files at `{path}`: rules `{first}` and `{second}`")]
    Contradiction {
        /// The place in the pool.
        path: String,
        /// The rule of the first.
        first: String,
        /// The rule of the second.
        second: String,
    },
    /// A file of an upstream that is no package cannot be used.
    #[error("update rule `{rule}` fails: `{path}`: {problem}")]
    Extra {
        /// The rule.
        rule: String,
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A list hook failed.
    #[error("the list hook of rule `{rule}` failed on `{list}`: {problem}", list = list.display())]
    Hook {
        /// The rule.
        rule: String,
        /// The index.
        list: PathBuf,
        /// How.
        problem: String,
    },
    /// So much would be deleted that the upstream may be empty by mistake.
    #[error("{gone} of {all} packages of `{index}` would be deleted: is the upstream whole?")]
    ManyDeletes {
        /// The index.
        index: IndexId,
        /// How many would be deleted.
        gone: usize,
        /// How many there are.
        all: usize,
    },
    /// An option asks for what there is not yet.
    #[error("`--{option}` is not built yet for this command")]
    NotBuilt {
        /// The option.
        option: &'static str,
    },
    /// Distributions could not be updated; the first reason.
    #[error("not updated: `{}`", codenames.join("`, `"))]
    Failed {
        /// The distributions.
        codenames: Vec<String>,
        /// Why the first one was not; the others were told.
        #[source]
        first: Arc<super::super::Error>,
    },
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Upstream { source, .. } | Self::Transfer(source) => source.kind(),
            Self::OtherPackage { .. } | Self::Contradiction { .. } => ErrorKind::Mismatch,
            Self::Failed { first, .. } => first.kind(),
            Self::NotBuilt { .. } => ErrorKind::Usage,
            Self::Stanza { .. }
            | Self::Unexpected { .. }
            | Self::Extra { .. }
            | Self::Hook { .. }
            | Self::ManyDeletes { .. } => ErrorKind::General,
        }
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream { source, .. } | Self::Transfer(source) => source.hint(),
            Self::Failed { first, .. } => first.hint(),
            Self::ManyDeletes { .. } => Some("if it is meant, use --noonlysmalldeletes".into()),
            _ => None,
        }
    }
}
