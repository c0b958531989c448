//! What a .dsc says of a source package (Debian Policy 5.4).

use super::super::name::{PackageName, SourceName};
use super::super::stanza::Stanza;
use super::super::version::Version;
use super::files::{ListedFile, read_lists};
use super::{PackageError, Priority, Section, package_name, required, source_name, stanza, text, version};

/// What a .dsc says of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceControl {
    /// The source package.
    pub source: SourceName,
    /// Its version.
    pub version: Version,
    /// Its format, such as `3.0 (quilt)`; `1.0` where the field is missing.
    pub format: String,
    /// The binary packages it can build.
    pub binaries: Vec<PackageName>,
    /// The words of its Architecture field: wildcards such as `linux-any` too.
    pub architectures: Vec<String>,
    /// Its section, if it names one; few .dsc do.
    pub section: Option<Section>,
    /// Its priority, if it names one.
    pub priority: Option<Priority>,
    /// The files beside the .dsc.
    pub files: Vec<ListedFile>,
    /// All fields as they were written.
    pub stanza: Stanza,
}

impl SourceControl {
    /// Reads a .dsc from which a signature was taken off.
    ///
    /// # Errors
    /// [`PackageError`] with the field and the rule that it breaks.
    pub fn parse(payload: &[u8]) -> Result<Self, PackageError> {
        Self::from_stanza(stanza(payload)?)
    }

    /// Reads the stanza of a .dsc.
    ///
    /// # Errors
    /// [`PackageError`] with the field and the rule that it breaks.
    pub fn from_stanza(stanza: Stanza) -> Result<Self, PackageError> {
        const WHAT: &str = "source package";
        let source = source_name("Source", required(&stanza, "Source", WHAT)?)?;
        let version = version("Version", required(&stanza, "Version", WHAT)?)?;
        let binaries = binaries(&stanza)?;
        let words = text(&stanza, "Architecture")?.unwrap_or_default();
        let architectures = words.split_ascii_whitespace().map(str::to_owned).collect();
        let files = read_lists(&stanza, 0, WHAT)?;
        let files = files.into_iter().map(|(file, _)| file).collect();
        Ok(Self {
            source,
            version,
            format: text(&stanza, "Format")?.unwrap_or("1.0").to_owned(),
            binaries,
            architectures,
            section: Section::of(&stanza)?,
            priority: Priority::of(&stanza)?,
            files,
            stanza,
        })
    }

    /// The name of the .dsc in the pool: `SOURCE_VERSION.dsc`, the version without its epoch.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_{}.dsc", self.source, self.version.without_epoch())
    }
}

/// The Binary field, with commas in a .dsc and with blanks in a .changes.
pub(super) fn binaries(stanza: &Stanza) -> Result<Vec<PackageName>, PackageError> {
    text(stanza, "Binary")?
        .unwrap_or_default()
        .split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| package_name("Binary", word))
        .collect()
}
