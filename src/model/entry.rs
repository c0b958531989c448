//! A package as an index lists it: the few values that commands ask for, and the stanza they were read from.

use serde::{Deserialize, Serialize};

use super::digest::FileDigests;
use super::name::{PackageName, SourceName};
use super::path::ArchivePath;
use super::version::Version;

/// A file in the pool with what it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFile {
    /// Where it is, below the archive's root: `pool/…`.
    pub path: ArchivePath,
    /// Its size and digests.
    pub content: FileDigests,
}

/// What an index knows of one package without its stanza.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The package; for a source package its own name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The source it was built from; for a source package itself.
    pub source: SourceName,
    /// The version of that source.
    pub source_version: Version,
    /// Its files in the pool: one for a binary package; the .dsc first for a source package.
    pub files: Vec<PoolFile>,
}

/// An entry together with its stanza, as it stands in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPackage {
    /// The values.
    pub entry: Entry,
    /// The stanza: each field on its line, an empty line at the end.
    pub text: Vec<u8>,
}

/// Why a file belongs to a source version (the type letters of `dumptracks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrackedKind {
    /// `a`: a .deb of architecture all.
    AllBinary,
    /// `b`: a .deb of one architecture.
    ArchBinary,
    /// `s`: part of the source package.
    Source,
    /// `c`: a .changes.
    Changes,
    /// `l`: a build log.
    Log,
    /// `i`: a .buildinfo.
    Buildinfo,
    /// `x`: by-hand files and anything else.
    Other,
}

impl TrackedKind {
    /// The letter in `dumptracks`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::AllBinary => 'a',
            Self::ArchBinary => 'b',
            Self::Source => 's',
            Self::Changes => 'c',
            Self::Log => 'l',
            Self::Buildinfo => 'i',
            Self::Other => 'x',
        }
    }
}

/// One file of a tracked source version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFile {
    /// The file.
    pub file: PoolFile,
    /// Why it is kept.
    pub kind: TrackedKind,
}

/// All files that came in for one version of a source package, in one distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The source package.
    pub source: SourceName,
    /// Its version.
    pub version: Version,
    /// Its files, sorted by path.
    pub files: Vec<TrackedFile>,
}
