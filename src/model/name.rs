//! The names of an archive: codename, suite, component, architecture, package. Each is checked once, at its only
//! constructor, so that the rest of the program can put them into paths and index lines without another thought.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{name}`: {rule}")]
pub struct NameError {
    /// The kind of name, such as `codename`.
    pub what: &'static str,
    /// What was given, control characters escaped and cut to a printable length.
    pub name: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, name: &str, rule: &'static str) -> Self {
        let name = name.chars().take(80).flat_map(char::escape_default).collect();
        Self { what, name, rule }
    }
}

const WORD_RULE: &str =
    "must be letters, digits and `.+_~-` with `/` between parts, each part starting with a letter or digit";
const PACKAGE_RULE: &str = "must start with a letter or digit and contain only letters, digits and `+-._`";
const ARCHITECTURE_RULE: &str = "must start with a letter or digit and contain only letters, digits and `-`";
const MAX_NAME_BYTES: usize = 200;

fn is_part(part: &str) -> bool {
    part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".+_~-".contains(&byte))
}

fn is_slashed_word(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.split('/').all(is_part)
}

fn is_package_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

fn is_architecture(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !matches!(text, "all" | "any" | "source")
}

macro_rules! define_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The checked name.
            ///
            /// # Errors
            /// [`NameError`] with the rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

define_name!(
    /// The fixed name of a distribution and its directory below `dists/`; may contain slashes.
    Codename, "codename", is_slashed_word, WORD_RULE
);
define_name!(
    /// The moving alias of a distribution, such as `stable`.
    Suite, "suite", is_slashed_word, WORD_RULE
);
define_name!(
    /// A component of a distribution, such as `main` or `vendor/hp`.
    Component, "component", is_slashed_word, WORD_RULE
);
define_name!(
    /// A binary architecture that an index can be for: never `all`, `any` or `source`.
    Architecture, "architecture", is_architecture, ARCHITECTURE_RULE
);
define_name!(
    /// The name of a binary package (Debian Policy 5.6.7; the characters are those that dpkg takes).
    PackageName, "package name", is_package_name, PACKAGE_RULE
);
define_name!(
    /// The name of a source package (Debian Policy 5.6.1).
    SourceName, "source package name", is_package_name, PACKAGE_RULE
);

impl From<&PackageName> for SourceName {
    /// A binary package without a Source field comes from the source of the same name.
    fn from(name: &PackageName) -> Self {
        Self(name.0.clone())
    }
}

/// The architecture that a binary package is for (Debian Policy 5.6.8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackageArchitecture {
    /// Architecture independent: it goes into the index of every architecture.
    All,
    /// One architecture.
    Only(Architecture),
}

impl fmt::Display for PackageArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(architecture) => architecture.fmt(f),
        }
    }
}

impl FromStr for PackageArchitecture {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            Ok(Self::All)
        } else {
            Architecture::new(text).map(Self::Only)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_reprepro_users_have_are_accepted() {
        for name in ["precise-staging", "stable/updates", "role/web", "non-free", "12.04~x"] {
            assert!(Codename::new(name).is_ok(), "{name}");
            assert!(Component::new(name).is_ok(), "{name}");
        }
        assert!(PackageName::new("libstdc++6").is_ok());
        assert!(Architecture::new("kfreebsd-amd64").is_ok());
    }

    #[test]
    fn names_that_could_leave_their_place_are_refused_by_text_and_serde_alike() {
        for name in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            ".a",
            "a b",
            "a\nb",
            "é",
            "a\0",
            &"a".repeat(201),
        ] {
            assert!(Codename::new(name).is_err(), "{name}");
            let json = serde_json::to_string(name).unwrap();
            assert!(serde_json::from_str::<Codename>(&json).is_err(), "{name}");
            assert!(PackageName::new(name).is_err(), "{name}");
            assert!(serde_json::from_str::<PackageName>(&json).is_err(), "{name}");
        }
        for name in ["all", "any", "source"] {
            assert!(Architecture::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_error_gives_the_word_and_the_rule() {
        let error = Architecture::new("i 386\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid architecture `i 386\\n`: must start with a letter or digit and contain only letters, digits and `-`"
        );
    }
}
