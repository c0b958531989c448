//! The words of an APT archive as checked types. Pure: nothing here reads a file, the clock, the network or the
//! environment, and nothing here uses another layer.

pub mod digest;
pub mod entry;
pub mod index;
pub mod name;
pub mod package;
pub mod path;
pub mod release;
pub mod stanza;
pub mod version;

pub use digest::{DigestKind, Digests, FileDigests, Hasher, Promise, Sha256};
pub use entry::{Entry, ListedPackage, PoolFile, Track, TrackedFile, TrackedKind};
pub use index::{IndexId, IndexKind, PackageType, Restriction};
pub use name::{Architecture, Codename, Component, PackageArchitecture, PackageName, SourceName, Suite};
pub use package::{BinaryControl, Changes, PackageError, Priority, Section, SourceControl};
pub use path::ArchivePath;
pub use stanza::Stanza;
pub use version::Version;

/// What kind of failure an error is; the exit code and the HTTP status follow from it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line is wrong.
    Usage,
    /// Somebody else holds the lock.
    Locked,
    /// A signal ended the command.
    Interrupted,
    /// The configuration has a field that nobody knows.
    UnknownField,
    /// Something that was named, a distribution or a rule, is not there.
    Unknown,
    /// A signature is bad, missing, or by the wrong key.
    BadSignature,
    /// Signing failed, or a key cannot be used.
    Signing,
    /// A file that was named is not there.
    FileMissing,
    /// A file is not what was promised, or one of that name has other content.
    Mismatch,
    /// Not allowed.
    Denied,
    /// Anything else: wrong configuration, a malformed package, a full disk.
    General,
}
