//! Why a distribution could not be published.

use std::path::PathBuf;

use super::MissingFileList;
use crate::fsio;
use crate::model::path::PathError;
use crate::model::{ArchivePath, Codename, ErrorKind, IndexId};
use crate::{pgp, store};

/// A distribution could not be published; what was published before is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fsio::Error),
    /// The archive's state cannot be read, or Contents cannot be kept in it.
    #[error("cannot read the indexes to publish")]
    Store {
        /// Why.
        #[source]
        source: Box<store::Error>,
    },
    /// The configuration gives a file a name that is no path.
    #[error("cannot name a file of the distribution")]
    Path {
        /// Which rule it breaks.
        #[source]
        source: PathError,
    },
    /// Two indexes have the same file.
    #[error("two indexes of `{codename}` would be published as `{path}`")]
    SamePath {
        /// The distribution.
        codename: Codename,
        /// The file.
        path: ArchivePath,
    },
    /// A file of an upstream is not what it was.
    #[error("`{place}`, to be published as `{path}`, is damaged", place = place.display())]
    ExtraDamaged {
        /// Its path below the distribution.
        path: ArchivePath,
        /// The file.
        place: PathBuf,
    },
    /// `ExportOptions: noexport`.
    #[error("`{codename}` is not to be published: its ExportOptions say noexport")]
    NotExported {
        /// The distribution.
        codename: Codename,
    },
    /// The place of the distribution is a file, or a link out of the directory.
    #[error("`{path}` is not a directory", path = path.display())]
    NotADirectory {
        /// The place.
        path: PathBuf,
    },
    /// Contents need the file lists of .debs that nobody has read yet: read them and publish again.
    #[error("the file lists of {} packages are not known, the first `{}`", packages.len(), first(packages))]
    FileListsMissing {
        /// All of them, at least one.
        packages: Vec<MissingFileList>,
    },
    /// A stanza has no file that its paths could be looked up by.
    #[error("the stanza of `{package}` in `{index}` has no valid Filename and SHA256")]
    Stanza {
        /// The index.
        index: IndexId,
        /// The package.
        package: String,
    },
    /// `SignWith` asks for keys, and there are none.
    #[error("there is no key to sign `{codename}` with")]
    NoSigner {
        /// The distribution.
        codename: Codename,
    },
    /// Signing with a key failed.
    #[error("cannot sign `{codename}`")]
    Sign {
        /// The distribution.
        codename: Codename,
        /// Why.
        #[source]
        source: pgp::Error,
    },
    /// What was published cannot be recorded.
    #[error("cannot write the record of what is published")]
    Record {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The signing script failed.
    #[error("the signing script `{program}` failed: {problem}", program = program.display())]
    Script {
        /// The script.
        program: PathBuf,
        /// What it did.
        problem: String,
    },
}

impl Error {
    pub(super) fn store(source: store::Error) -> Self {
        let source = Box::new(source);
        Self::Store { source }
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Store { source } => source.kind(),
            Self::Sign { source, .. } => source.kind(),
            Self::NoSigner { .. } | Self::Script { .. } => ErrorKind::Signing,
            Self::FileListsMissing { .. } => ErrorKind::FileMissing,
            Self::ExtraDamaged { .. } => ErrorKind::Mismatch,
            Self::Path { .. }
            | Self::SamePath { .. }
            | Self::NotExported { .. }
            | Self::NotADirectory { .. }
            | Self::Record { .. }
            | Self::Stanza { .. } => ErrorKind::General,
        }
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store { source } => source.hint(),
            Self::Sign { source, .. } => source.hint(),
            Self::ExtraDamaged { .. } => Some("remove it: the next `update` gets it anew".into()),
            Self::NotADirectory { .. } => {
                Some("move the file or link away; to keep the trees elsewhere, set outdir or distdir".into())
            }
            _ => None,
        }
    }
}

fn first(packages: &[MissingFileList]) -> &str {
    packages.first().map_or("", |package| package.path.as_str())
}
