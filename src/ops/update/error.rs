//! Why a distribution could not be brought up to date with its upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use crate::mirror;
use crate::model::ErrorKind;

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
    /// What is to be fetched does not fit.
    #[error(
        "not enough room in the file system of `{path}`: {needed} bytes are needed ({files} for files, {margin} to \
         stay free), {free} are free",
        path = path.display(),
        needed = files.saturating_add(*margin)
    )]
    NoRoom {
        /// A directory of the file system.
        path: PathBuf,
        /// What the files need there, in bytes.
        files: u64,
        /// What is to stay free, in bytes.
        margin: u64,
        /// What is free, in bytes.
        free: u64,
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
            Self::Stanza { .. } | Self::Hook { .. } | Self::NoRoom { .. } => ErrorKind::General,
        }
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream { source, .. } | Self::Transfer(source) => source.hint(),
            Self::Failed { first, .. } => first.hint(),
            Self::NoRoom { .. } => Some(
                "`predelete` takes out what would be replaced; --safetymargin and --dbsafetymargin say how much is to \
                 stay free, --spacecheck none asks no question"
                    .into(),
            ),
            _ => None,
        }
    }
}
