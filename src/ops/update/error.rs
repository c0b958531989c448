//! Why a distribution could not be brought up to date with its upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use crate::mirror;
use crate::model::{Codename, ErrorKind, IndexId, PackageName, Version};

use super::progress::human_bytes;

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
    /// A signal came.
    #[error("interrupted by a signal before all was done; not updated: {}", listed(codenames))]
    Interrupted {
        /// The distributions that are as they were, or may be.
        codenames: Vec<String>,
        /// How many files wait for the next run, and their bytes.
        kept: (usize, u64),
    },
    /// Others change the distribution as fast as it is decided about.
    #[error("`{codename}` was changed again and again while its update was decided")]
    Unsettled {
        /// The distribution.
        codename: Codename,
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

fn listed(codenames: &[String]) -> String {
    let quoted: Vec<String> = codenames.iter().map(|codename| format!("`{codename}`")).collect();
    quoted.join(", ")
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
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Stanza { .. }
            | Self::Unexpected { .. }
            | Self::Hook { .. }
            | Self::ManyDeletes { .. }
            | Self::Unsettled { .. } => ErrorKind::General,
        }
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream { source, .. } | Self::Transfer(source) => source.hint(),
            Self::Failed { first, .. } => first.hint(),
            Self::Interrupted { kept: (0, _), .. } => None,
            Self::Interrupted {
                kept: (count, bytes), ..
            } => Some(format!(
                "{count} file{} of {} that arrived {} kept, whole or in part; the next `aptrepo update` goes on from there",
                if *count == 1 { "" } else { "s" },
                human_bytes(*bytes),
                if *count == 1 { "is" } else { "are" },
            )),
            Self::Unsettled { .. } => Some("run it again when the archive is quieter".into()),
            Self::ManyDeletes { .. } => Some("if it is meant, use --noonlysmalldeletes".into()),
            _ => None,
        }
    }
}
