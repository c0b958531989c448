//! Why a distribution could not be brought up to date with its upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ingest::ArchiveError;
use crate::mirror;
use crate::model::{Codename, ErrorKind};

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
        source: Arc<mirror::Error>,
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
    /// What came is no package.
    #[error("update rule `{rule}` fails: `{url}` is no package that can be used")]
    NoPackage {
        /// Where it came from.
        url: String,
        /// The rule.
        rule: String,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// A rule wants what our archive cannot take.
    #[error("update rule `{rule}` fails")]
    Rule {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: Box<super::super::Error>,
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
    /// Distributions could not be updated, all for one reason.
    #[error("not updated: `{}`", codenames.join("`, `"))]
    Failed {
        /// The distributions.
        codenames: Vec<String>,
        /// Why.
        #[source]
        source: Arc<super::super::Error>,
    },
    /// Distributions could not be updated for several reasons, each of which was told.
    #[error("not updated: `{}`", codenames.join("`, `"))]
    SeveralFailed {
        /// The distributions.
        codenames: Vec<String>,
        /// The kind of the first failure.
        kind: ErrorKind,
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
            Self::Upstream { source, .. } => source.kind(),
            Self::Transfer(source) => source.kind(),
            Self::Rule { source, .. } => source.kind(),
            Self::OtherPackage { .. } | Self::NoPackage { .. } | Self::Contradiction { .. } => ErrorKind::Mismatch,
            Self::Failed { source, .. } => source.kind(),
            Self::SeveralFailed { kind, .. } => *kind,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Stanza { .. }
            | Self::Extra { .. }
            | Self::Hook { .. }
            | Self::NoRoom { .. }
            | Self::Unsettled { .. } => ErrorKind::General,
        }
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Upstream { source, .. } => source.hint(),
            Self::Transfer(source) => source.hint(),
            Self::Rule { source, .. } => match source.as_ref() {
                super::super::Error::OtherContent { references, .. } => Some(format!(
                    "leave the package out by a filter of this rule, or remove the one that is there, which is needed \
                     for {}",
                    references.join(", ")
                )),
                other => other.hint(),
            },
            Self::OtherPackage { .. } | Self::NoPackage { .. } => Some(
                "the upstream's own index promises this file: who keeps it must mend it; a filter can leave the package \
                 out until then"
                    .into(),
            ),
            Self::Stanza { .. } => Some("who keeps the upstream must mend its index; a `ListHook` can mend it here".into()),
            Self::Failed { source, .. } => source.hint(),
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
            Self::NoRoom { .. } => Some(
                "`aptrepo predelete` takes out first what would be replaced; --safetymargin and --dbsafetymargin say how \
                 much is to stay free, and --spacecheck none asks no question"
                    .into(),
            ),
            _ => None,
        }
    }
}
