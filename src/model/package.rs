//! Typed views of package stanzas: a .deb's control file, a .dsc, a .changes (Debian Policy 5.3 to 5.5), and how an
//! index lists them. The stanza itself is kept, so that nothing the maintainer wrote is lost.

mod changes;
mod files;
mod render;
mod source;

use std::fmt;

use super::ErrorKind;
use super::digest::ParseDigestError;
use super::index::PackageType;
use super::name::{Component, NameError, PackageArchitecture, PackageName, SourceName};
use super::stanza::{Stanza, StanzaError};
use super::version::{Version, VersionError};

pub use changes::{Changes, ChangesFile, FileKind, UploadArchitecture};
pub use files::{FileName, ListedFile};
pub use render::{Listing, packages_stanza, sources_stanza};
pub use source::SourceControl;

/// A stanza that does not describe a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// It is no stanza.
    #[error("not a single deb822 stanza")]
    Stanza {
        /// Line and fault.
        #[source]
        source: StanzaError,
    },
    /// A field that must be there is missing or empty.
    #[error("field `{field}` is missing: every {what} must have one")]
    Missing {
        /// The field.
        field: &'static str,
        /// The kind of stanza.
        what: &'static str,
    },
    /// A field holds no name of its kind.
    #[error("field `{field}`")]
    Name {
        /// The field.
        field: &'static str,
        /// The name and its rule.
        #[source]
        source: NameError,
    },
    /// A field holds no version.
    #[error("field `{field}`")]
    Version {
        /// The field.
        field: &'static str,
        /// The version and its rule.
        #[source]
        source: VersionError,
    },
    /// A field holds no digest where one must be.
    #[error("field `{field}`")]
    Digest {
        /// The field.
        field: &'static str,
        /// The digest and its rule.
        #[source]
        source: ParseDigestError,
    },
    /// A field's value breaks another rule.
    #[error("field `{field}` holds `{value}`: {rule}")]
    Value {
        /// The field.
        field: &'static str,
        /// What stands there, control characters escaped and cut to a printable length.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl PackageError {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::General
    }

    fn value(field: &'static str, value: &str, rule: &'static str) -> Self {
        Self::Value {
            field,
            value: printable(value),
            rule,
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}

const WORD_RULE: &str = "must be one word of visible ASCII characters without `,`, at most 100 long";

fn is_word(text: &str) -> bool {
    // a comma would end the section in a line of Contents
    (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

macro_rules! define_word {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The checked word.
            ///
            /// # Errors
            /// [`PackageError::Value`] unless it is one word of visible ASCII characters without commas.
            pub fn new(text: &str) -> Result<Self, PackageError> {
                if is_word(text) { Ok(Self(text.into())) } else { Err(PackageError::value($field, text, WORD_RULE)) }
            }

            /// The word as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The field of a stanza; `None` where it is missing, empty, or `-`.
            ///
            /// # Errors
            /// [`PackageError::Value`] as for [`Self::new`].
            pub fn of(stanza: &Stanza) -> Result<Option<Self>, PackageError> {
                text(stanza, $field)?.filter(|word| *word != "-").map(Self::new).transpose()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

define_word!(
    /// The section of a package, such as `utils` or `non-free/libs` (Debian Policy 2.4).
    Section, "Section"
);
define_word!(
    /// The priority of a package, such as `optional` (Debian Policy 2.5).
    Priority, "Priority"
);

/// The value of a field, `None` if it is missing or empty.
fn text<'a>(stanza: &'a Stanza, field: &'static str) -> Result<Option<&'a str>, PackageError> {
    match stanza.get_bytes(field) {
        None | Some([]) => Ok(None),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(PackageError::value(
                field,
                &String::from_utf8_lossy(bytes),
                "must be UTF-8",
            )),
        },
    }
}

fn required<'a>(stanza: &'a Stanza, field: &'static str, what: &'static str) -> Result<&'a str, PackageError> {
    text(stanza, field)?.ok_or(PackageError::Missing { field, what })
}

fn version(field: &'static str, text: &str) -> Result<Version, PackageError> {
    Version::new(text).map_err(|source| PackageError::Version { field, source })
}

fn source_name(field: &'static str, text: &str) -> Result<SourceName, PackageError> {
    SourceName::new(text).map_err(|source| PackageError::Name { field, source })
}

fn package_name(field: &'static str, text: &str) -> Result<PackageName, PackageError> {
    PackageName::new(text).map_err(|source| PackageError::Name { field, source })
}

fn stanza(bytes: &[u8]) -> Result<Stanza, PackageError> {
    Stanza::parse(bytes).map_err(|source| PackageError::Stanza { source })
}

/// `foo` or `foo (1.2)` of a Source field (Policy 5.6.1).
fn source_and_version(text: &str) -> Result<(SourceName, Option<Version>), PackageError> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok((source_name("Source", text)?, None));
    };
    let Some((inside, "")) = rest.split_once(')') else {
        let rule = "must be a source package's name, with a version in parentheses after it or nothing";
        return Err(PackageError::value("Source", text, rule));
    };
    let name = source_name("Source", name.trim_end())?;
    Ok((name, Some(version("Source", inside.trim())?)))
}

/// What the control file of a .deb or .udeb says (Policy 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryControl {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// What it is for.
    pub architecture: PackageArchitecture,
    /// The source it was built from.
    pub source: SourceName,
    /// That source's version.
    pub source_version: Version,
    /// Its section, if it names one.
    pub section: Option<Section>,
    /// Its priority, if it names one.
    pub priority: Option<Priority>,
    /// All fields as they were written.
    pub stanza: Stanza,
}

impl BinaryControl {
    /// Reads a control file.
    ///
    /// # Errors
    /// [`PackageError`] with the field and the rule that it breaks.
    pub fn parse(control: &[u8]) -> Result<Self, PackageError> {
        Self::from_stanza(stanza(control)?)
    }

    /// Reads the stanza of a control file or of a Packages index.
    ///
    /// # Errors
    /// [`PackageError`] with the field and the rule that it breaks.
    pub fn from_stanza(stanza: Stanza) -> Result<Self, PackageError> {
        const WHAT: &str = "binary package";
        let package = package_name("Package", required(&stanza, "Package", WHAT)?)?;
        let version = version("Version", required(&stanza, "Version", WHAT)?)?;
        let architecture = required(&stanza, "Architecture", WHAT)?;
        let architecture = architecture.parse().map_err(|source| PackageError::Name {
            field: "Architecture",
            source,
        })?;
        let (source, source_version) = match text(&stanza, "Source")? {
            Some(source) => source_and_version(source)?,
            None => (SourceName::from(&package), None),
        };
        Ok(Self {
            source,
            source_version: source_version.unwrap_or_else(|| version.clone()),
            section: Section::of(&stanza)?,
            priority: Priority::of(&stanza)?,
            package,
            version,
            architecture,
            stanza,
        })
    }

    /// The name of the package's file in the pool: `NAME_VERSION_ARCHITECTURE.TYPE`, the version without its epoch.
    #[must_use]
    pub fn file_name(&self, package_type: PackageType) -> String {
        let (version, architecture) = (self.version.without_epoch(), &self.architecture);
        format!("{}_{version}_{architecture}.{package_type}", self.package)
    }
}

/// The component for a package of this section: the component of that name; else the one that the section has before a
/// `/`; else the one that the section has after it; else the first one below the section; else the first of all.
/// `None` only if there are no components.
#[must_use]
pub fn guess_component<'a>(components: &'a [Component], section: &str) -> Option<&'a Component> {
    let find = |matches: &dyn Fn(&str) -> bool| components.iter().find(|component| matches(component.as_str()));
    let below = |whole: &str, part: &str| whole.strip_prefix(part).is_some_and(|rest| rest.starts_with('/'));
    let after = |whole: &str, part: &str| whole.strip_suffix(part).is_some_and(|rest| rest.ends_with('/'));
    find(&|name| name == section)
        .or_else(|| find(&|name| below(section, name)))
        .or_else(|| find(&|name| after(section, name)))
        .or_else(|| find(&|name| below(name, section)))
        .or_else(|| components.first())
}
