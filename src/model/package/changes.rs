//! What a .changes says of an upload (Debian Policy 5.5).

use std::fmt;

use super::super::digest::Promise;
use super::super::name::{PackageArchitecture, PackageName, SourceName};
use super::super::stanza::Stanza;
use super::super::version::Version;
use super::files::{FileName, read_lists};
use super::source::binaries;
use super::{PackageError, Priority, Section, required, source_and_version, stanza, version};

/// A word of the Architecture field of a .changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UploadArchitecture {
    /// The upload has a source package.
    Source,
    /// The upload has binary packages for this.
    Binary(PackageArchitecture),
}

impl fmt::Display for UploadArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Binary(architecture) => architecture.fmt(f),
        }
    }
}

/// What kind of file an upload brings; its section and its name tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A binary package.
    Deb,
    /// A binary package of the installer.
    Udeb,
    /// The description of a source package.
    Dsc,
    /// A file that a .dsc names: a tarball, a diff, or the signature of one.
    SourcePart,
    /// What a build was made with.
    Buildinfo,
    /// A build log.
    Log,
    /// Another .changes.
    Changes,
    /// Section `byhand` or `raw-*`: for a hook, or to be kept beside the packages.
    ByHand,
    /// None of these by its name; a part of the source, if the .dsc names it.
    Unknown,
}

impl FileKind {
    fn of(name: &str, section: Option<&Section>) -> Self {
        const TARBALLS: [&str; 6] = [".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.lzma", ".tar.zst"];
        const OTHER_PARTS: [&str; 4] = [".diff.gz", ".asc", ".git", ".gitshallow"];
        if section.is_some_and(|section| section.as_str() == "byhand" || section.as_str().starts_with("raw-")) {
            return Self::ByHand;
        }
        let ends = |suffix: &str| name.ends_with(suffix);
        match () {
            () if ends(".deb") => Self::Deb,
            () if ends(".udeb") => Self::Udeb,
            () if ends(".dsc") => Self::Dsc,
            () if ends(".buildinfo") => Self::Buildinfo,
            () if ends(".changes") => Self::Changes,
            () if [".log", ".log.gz", ".log.xz", ".log.bz2", ".log.zst"]
                .into_iter()
                .any(ends) =>
            {
                Self::Log
            }
            () if TARBALLS.into_iter().chain(OTHER_PARTS).any(ends) => Self::SourcePart,
            () => Self::Unknown,
        }
    }
}

/// A file that a .changes lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesFile {
    /// Its name.
    pub name: FileName,
    /// What it is.
    pub kind: FileKind,
    /// The section it is for, if that is known.
    pub section: Option<Section>,
    /// Its priority, if that is known.
    pub priority: Option<Priority>,
    /// Its size and digests.
    pub promise: Promise,
}

/// What a .changes says of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The source that was built.
    pub source: SourceName,
    /// The version of the source; differs from `version` where only binaries were rebuilt.
    pub source_version: Version,
    /// The version of what was built.
    pub version: Version,
    /// The words of its Distribution field.
    pub distributions: Vec<String>,
    /// The words of its Architecture field.
    pub architectures: Vec<UploadArchitecture>,
    /// The binary packages in it; none in an upload of a source alone.
    pub binaries: Vec<PackageName>,
    /// Its files.
    pub files: Vec<ChangesFile>,
    /// All fields as they were written.
    pub stanza: Stanza,
}

impl Changes {
    /// Reads a .changes from which a signature was taken off.
    ///
    /// # Errors
    /// [`PackageError`] with the field and the rule that it breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, PackageError> {
        const WHAT: &str = ".changes file";
        let stanza = stanza(payload)?;
        let (source, source_version) = source_and_version(required(&stanza, "Source", WHAT)?)?;
        let version = version("Version", required(&stanza, "Version", WHAT)?)?;
        let distributions = required(&stanza, "Distribution", WHAT)?;
        let architectures = required(&stanza, "Architecture", WHAT)?
            .split_ascii_whitespace()
            .map(upload_architecture)
            .collect::<Result<_, _>>()?;
        // only Files has the sections and priorities
        required(&stanza, "Files", WHAT)?;
        let mut files = Vec::new();
        for (file, columns) in read_lists(&stanza, 2, WHAT)? {
            let column = |at: usize| columns.get(at).copied().filter(|word| *word != "-");
            let section = column(0).map(Section::new).transpose()?;
            files.push(ChangesFile {
                kind: FileKind::of(file.name.as_str(), section.as_ref()),
                name: file.name,
                section,
                priority: column(1).map(Priority::new).transpose()?,
                promise: file.promise,
            });
        }
        Ok(Self {
            source,
            source_version: source_version.unwrap_or_else(|| version.clone()),
            distributions: distributions.split_ascii_whitespace().map(str::to_owned).collect(),
            architectures,
            binaries: binaries(&stanza)?,
            files,
            version,
            stanza,
        })
    }

    /// Whether `Architecture` names this.
    #[must_use]
    pub fn names_architecture(&self, architecture: &UploadArchitecture) -> bool {
        self.architectures.contains(architecture)
    }
}

fn upload_architecture(word: &str) -> Result<UploadArchitecture, PackageError> {
    if word == "source" {
        return Ok(UploadArchitecture::Source);
    }
    word.parse()
        .map(UploadArchitecture::Binary)
        .map_err(|source| PackageError::Name {
            field: "Architecture",
            source,
        })
}
