//! What can be wrong with files that come in.

use std::io;
use std::path::PathBuf;

use crate::fsio;
use crate::model::digest::Mismatch;
use crate::model::{ErrorKind, PackageError};

/// A file that is no package or tarball, or not one that dpkg could read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream cannot be read, or a compressed part of it is damaged.
    #[error("cannot read {what}")]
    Read {
        /// What was being read.
        what: String,
        /// What the system or the decoder said.
        #[source]
        source: io::Error,
    },
    /// It is no ar archive, or one with the wrong members; or the wrong files in them.
    #[error("not a Debian package: {problem}")]
    Ar {
        /// What is wrong.
        problem: String,
    },
    /// A member is no tar archive that dpkg could read.
    #[error("the tar archive {what} is malformed after {entry} headers: {problem}")]
    Tar {
        /// The member.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
        /// How many headers came before.
        entry: u64,
    },
    /// Something is larger than any real package.
    #[error("{what} is too large: {of} is over the limit of {limit}")]
    Limit {
        /// The member.
        what: &'static str,
        /// What is too large.
        of: &'static str,
        /// The most that is allowed.
        limit: u64,
    },
    /// A path leaves the directory that the package is unpacked to.
    #[error("{what} holds the path `{path}`: no part of a path may be `..`")]
    Path {
        /// The member.
        what: &'static str,
        /// The path, control characters escaped.
        path: String,
    },
    /// The control file does not describe a package.
    #[error("the control file is invalid")]
    Control {
        /// Field and rule.
        #[source]
        source: PackageError,
    },
}

impl ArchiveError {
    pub(super) fn ar(problem: impl Into<String>) -> Self {
        Self::Ar {
            problem: problem.into(),
        }
    }
}

/// A file cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, or the spool cannot be written.
    #[error(transparent)]
    File {
        /// What was tried, and where.
        #[from]
        source: fsio::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("`{path}` is not a regular file", path = path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// A file that a .changes or .dsc names is a link to somewhere else.
    #[error("`{path}` is a symbolic link that leaves its directory", path = path.display())]
    LeavesDirectory {
        /// The link.
        path: PathBuf,
    },
    /// It has not the length that it had when it was opened.
    #[error("`{path}` changed while it was read", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It is longer than a file of its kind may be.
    #[error("`{path}` is longer than {limit_bytes} bytes", path = path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is allowed.
        limit_bytes: u64,
    },
    /// It is not what was promised.
    #[error("`{path}` is not the file that was promised: {differences}",
        path = path.display(), differences = listed(differences))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Each value that differs.
        differences: Vec<Mismatch>,
    },
    /// It is malformed.
    #[error("cannot use `{path}`", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
}

fn listed(differences: &[Mismatch]) -> String {
    let texts: Vec<String> = differences.iter().map(Mismatch::to_string).collect();
    texts.join("; ")
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source } => source.kind(),
            Self::Mismatch { .. } => ErrorKind::Mismatch,
            Self::LeavesDirectory { .. } => ErrorKind::Denied,
            Self::NotRegular { .. } | Self::Changed { .. } | Self::TooLong { .. } | Self::Archive { .. } => {
                ErrorKind::General
            }
        }
    }

    /// Whether the file was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::File { source } if source.is_not_found())
    }
}
