//! What can go wrong with the archive's state.

use std::path::PathBuf;

use crate::fsio::lock::LockError;
use crate::model::{ArchivePath, ErrorKind};

use super::blocks::CodecError;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fsio::Error),
    /// Another process holds the lock, or the lock file cannot be used.
    #[error("{}", match source {
        LockError::Held { .. } => "the archive is in use",
        LockError::File(_) => "cannot take the lock of the archive",
    })]
    Locked {
        /// Which lock, and who holds it.
        #[source]
        source: LockError,
    },
    /// The directory is of another version of this program.
    #[error("the database `{path}` has format `{found}`: this program reads format `{known}`", path = path.display())]
    Version {
        /// The database directory.
        path: PathBuf,
        /// What its version file says.
        found: String,
        /// What it should say.
        known: &'static str,
    },
    /// The directory belongs to reprepro.
    #[error("`{path}` holds the database of reprepro: it is left as it is", path = path.display())]
    Reprepro {
        /// The database directory.
        path: PathBuf,
    },
    /// The directory has files, but none that says which format they have.
    #[error("`{path}` is not empty and has no file `version`: it is no database", path = path.display())]
    NoDatabase {
        /// The database directory.
        path: PathBuf,
    },
    /// A file of the store is not what its name or its neighbours say.
    #[error("`{path}` is damaged: {problem}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of the journal is not what was written.
    #[error("{path}:{line}: the journal is damaged: {problem}", path = path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A value has no encoding or no decoding.
    #[error("cannot convert a value of the database")]
    Codec {
        /// Which, and why.
        #[source]
        source: CodecError,
    },
    /// The lookup tables failed.
    #[error("cannot {doing} `{path}`", path = path.display())]
    Tables {
        /// Completes the sentence "cannot … `path`".
        doing: &'static str,
        /// Their directory.
        path: PathBuf,
        /// What sled said.
        #[source]
        source: sled::Error,
    },
    /// The tables cannot be opened at all.
    #[error("cannot open the tables in `{path}`: {problem}", path = path.display())]
    TablesUnusable {
        /// Their directory.
        path: PathBuf,
        /// What was seen.
        problem: String,
    },
    /// A pool file is to have two contents.
    #[error("the pool file `{path}` has SHA-256 `{known}`: it cannot be `{given}` too")]
    Conflict {
        /// The file.
        path: ArchivePath,
        /// The digest that the archive knows.
        known: String,
        /// The digest of the file to be added.
        given: String,
    },
    /// The text of a package is not one stanza that ends with an empty line.
    #[error("the stanza of `{package}` cannot stand in an index: {problem}")]
    BadText {
        /// Name and version.
        package: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A change is safe in the journal, but what follows a commit failed.
    #[error("change {sequence} is committed, but the database could not be brought up to it")]
    AfterCommit {
        /// Its number in the journal.
        sequence: u64,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// A dump is to be loaded over an archive that has packages.
    #[error("the database is not empty: a dump can be loaded only into an empty one")]
    NotEmpty,
    /// A dump cannot be read.
    #[error("line {line} of the dump: {problem}")]
    Dump {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Reading or writing a dump failed.
    #[error("cannot {doing} the dump")]
    DumpStream {
        /// `read` or `write`.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The result of what can fail in the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(source) => source.kind(),
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Conflict { .. } => ErrorKind::Mismatch,
            Self::AfterCommit { source, .. } => source.kind(),
            _ => ErrorKind::General,
        }
    }

    /// What the user can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Locked {
                source: LockError::Held { .. },
            } => "`--waitforlock N` waits for it, N times 10 seconds",
            Self::File(source)
            | Self::Locked {
                source: LockError::File(source),
            } => return source.hint(),
            Self::Version { .. } => {
                "write a dump with the program that made it, and load that into a fresh database directory"
            }
            Self::Reprepro { .. } => "name a fresh directory with `dbdir` in conf/options or with `--dbdir`",
            Self::NoDatabase { .. } => {
                "name a fresh directory with `dbdir` in conf/options or with `--dbdir`; if it was a database of this \
                 archive, `aptrepo recover` rebuilds it"
            }
            Self::Damaged { .. } | Self::Journal { .. } => {
                "`aptrepo recover` rebuilds the database; `aptrepo --dry-run recover` says beforehand what it would find"
            }
            Self::Tables { .. } | Self::TablesUnusable { .. } => {
                "run it again: the next command that writes makes damaged tables anew from the journal"
            }
            Self::AfterCommit { .. } => "the next command that writes brings the tables up to date by itself",
            _ => return None,
        };
        Some(hint.into())
    }
}

impl From<CodecError> for Error {
    fn from(source: CodecError) -> Self {
        Self::Codec { source }
    }
}

impl From<LockError> for Error {
    fn from(source: LockError) -> Self {
        match source {
            // nobody need hold it: the user may not open it
            LockError::File(source) => Self::File(source),
            LockError::Held { .. } => Self::Locked { source },
        }
    }
}
