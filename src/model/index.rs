//! Which index a package is listed in, and which packages of it a command means.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{Architecture, Codename, Component, NameError};

/// The type of package that an index lists, in reprepro's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PackageType {
    /// Binary packages.
    #[serde(rename = "deb")]
    Deb,
    /// Binary packages of the Debian installer.
    #[serde(rename = "udeb")]
    Udeb,
    /// Source packages.
    #[serde(rename = "dsc")]
    Dsc,
}

impl PackageType {
    /// All types, in the order in which `list` shows them.
    pub const ALL: [Self; 3] = [Self::Deb, Self::Udeb, Self::Dsc];

    /// The word for `-T` and in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Udeb => "udeb",
            Self::Dsc => "dsc",
        }
    }
}

impl fmt::Display for PackageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no package type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid package type `{word}`: must be deb, udeb or dsc")]
pub struct PackageTypeError {
    /// What was given.
    pub word: String,
}

impl FromStr for PackageType {
    type Err = PackageTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| PackageTypeError {
                word: text.chars().take(40).collect(),
            })
    }
}

/// What one index of a component lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexKind {
    /// `Packages`: the binary packages for one architecture.
    Deb(Architecture),
    /// `debian-installer/…/Packages`: the udebs for one architecture.
    Udeb(Architecture),
    /// `Sources`.
    Source,
}

impl IndexKind {
    /// The type of package listed.
    #[must_use]
    pub fn package_type(&self) -> PackageType {
        match self {
            Self::Deb(_) => PackageType::Deb,
            Self::Udeb(_) => PackageType::Udeb,
            Self::Source => PackageType::Dsc,
        }
    }

    /// The architecture as commands and lists show it, `source` for sources.
    #[must_use]
    pub fn architecture_word(&self) -> &str {
        match self {
            Self::Deb(architecture) | Self::Udeb(architecture) => architecture.as_str(),
            Self::Source => "source",
        }
    }
}

/// One index of the archive: distribution, component, and what it lists. Its text is reprepro's target identifier,
/// `precise|main|amd64`, with `u|` before it for udebs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IndexId {
    /// The distribution.
    pub codename: Codename,
    /// The component.
    pub component: Component,
    /// What it lists.
    pub kind: IndexKind,
}

/// A text that is no index identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexIdError {
    /// It has not the three parts.
    #[error("invalid index identifier `{text}`: must be `codename|component|architecture`, `u|` before it for udebs")]
    Form {
        /// What was given.
        text: String,
    },
    /// One of its parts is no name.
    #[error("invalid index identifier")]
    Name {
        /// Which name, and why.
        #[source]
        source: NameError,
    },
}

impl fmt::Display for IndexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.kind, IndexKind::Udeb(_)) {
            f.write_str("u|")?;
        }
        write!(
            f,
            "{}|{}|{}",
            self.codename,
            self.component,
            self.kind.architecture_word()
        )
    }
}

impl FromStr for IndexId {
    type Err = IndexIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // three bars: a distribution may be called `u`
        let udeb = text.strip_prefix("u|").filter(|rest| rest.matches('|').count() == 2);
        let (is_udeb, rest) = udeb.map_or((false, text), |rest| (true, rest));
        let mut parts = rest.split('|');
        let (Some(codename), Some(component), Some(architecture), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IndexIdError::Form {
                text: text.chars().take(200).collect(),
            });
        };
        let name = |source| IndexIdError::Name { source };
        let kind = match (is_udeb, architecture) {
            (false, "source") => IndexKind::Source,
            (false, word) => IndexKind::Deb(Architecture::new(word).map_err(name)?),
            (true, word) => IndexKind::Udeb(Architecture::new(word).map_err(name)?),
        };
        Ok(Self {
            codename: Codename::new(codename).map_err(name)?,
            component: Component::new(component).map_err(name)?,
            kind,
        })
    }
}

impl TryFrom<String> for IndexId {
    type Error = IndexIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IndexId> for String {
    fn from(id: IndexId) -> Self {
        id.to_string()
    }
}

/// Which indexes a command is restricted to: `-C`, `-A` and `-T`. An empty list restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// `-C`: only these components.
    pub components: Vec<Component>,
    /// `-A`: only these architectures, `source` among them where named.
    pub architectures: Vec<String>,
    /// `-T`: only these package types.
    pub types: Vec<PackageType>,
}

impl Restriction {
    /// Whether a command that is so restricted means `index`.
    #[must_use]
    pub fn admits(&self, index: &IndexId) -> bool {
        self.admits_component(&index.component)
            && self.admits_architecture(index.kind.architecture_word())
            && self.admits_type(index.kind.package_type())
    }

    /// Whether `-C` leaves this component.
    #[must_use]
    pub fn admits_component(&self, component: &Component) -> bool {
        self.components.is_empty() || self.components.contains(component)
    }

    /// Whether `-A` leaves this architecture, `source` for sources.
    #[must_use]
    pub fn admits_architecture(&self, word: &str) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|named| named == word)
    }

    /// Whether `-T` leaves this type.
    #[must_use]
    pub fn admits_type(&self, package_type: PackageType) -> bool {
        self.types.is_empty() || self.types.contains(&package_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_of_reprepro_and_round_trip() {
        let texts = [
            "precise-staging|role/web|amd64",
            "u|precise|main|i386",
            "precise|main|source",
            "u|main|amd64",
            "u|u|main|amd64",
        ];
        for text in texts {
            assert_eq!(text.parse::<IndexId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "a|b", "a|b|c|d", "u|a|main|source", "a|../b|amd64", "a|main|all"] {
            assert!(text.parse::<IndexId>().is_err(), "{text}");
        }
    }
}
