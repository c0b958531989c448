//! Paths inside the archive. Text from outside becomes a file system path only through [`ArchivePath::to_fs_path`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::digest::{DigestKind, Sha256};
use super::name::{Component, SourceName};

/// A path that is not a plain relative path below the archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid path `{path}`: {rule}")]
pub struct PathError {
    /// What was given, control characters escaped and cut to a printable length.
    pub path: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// A relative path below the archive's root, `/` between its parts, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchivePath(Arc<str>);

impl ArchivePath {
    /// The checked path.
    ///
    /// # Errors
    /// [`PathError`] if the path is absolute, leaves the archive, or has characters that no index can carry.
    pub fn new(text: &str) -> Result<Self, PathError> {
        let error = |rule| {
            let path = text.chars().take(120).flat_map(char::escape_default).collect();
            Err(PathError { path, rule })
        };
        if text.len() > 4000 {
            return error("must be shorter than 4000 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return error("must not contain blanks or control characters");
        }
        if text
            .split('/')
            .any(|part| matches!(part, "" | "." | "..") || part.len() > 255)
        {
            return error("must be relative, without empty parts, `.` or `..`");
        }
        Ok(Self(text.into()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place of this path below `root`.
    #[must_use]
    pub fn to_fs_path(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }

    /// This path with `name`, a single checked part or several, below it.
    ///
    /// # Errors
    /// [`PathError`] if `name` is no path by itself.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// All but the last part; empty if there is just one.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// The directory of a source's files: `pool/COMPONENT/L/SOURCE`, `L` being `libX` for sources that start with
    /// `lib`, else the first letter.
    #[must_use]
    pub fn pool_directory(component: &Component, source: &SourceName) -> Self {
        let name = source.as_str();
        // a source that is just called `lib` has no fourth letter
        let prefix_length = if name.starts_with("lib") { 4.min(name.len()) } else { 1 };
        let prefix: String = name.chars().take(prefix_length).collect();
        Self(format!("pool/{component}/{prefix}/{name}").into())
    }

    /// The by-hash name beside an index file (DebianRepository/Format, "indices acquisition via hashsums").
    #[must_use]
    pub fn by_hash(&self, digest: &Sha256) -> Self {
        let field = DigestKind::Sha256.release_field();
        match self.directory() {
            "" => Self(format!("by-hash/{field}/{digest}").into()),
            directory => Self(format!("{directory}/by-hash/{field}/{digest}").into()),
        }
    }
}

impl fmt::Display for ArchivePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ArchivePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for ArchivePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<ArchivePath> for String {
    fn from(path: ArchivePath) -> Self {
        path.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_archive_are_refused_by_text_and_serde_alike() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            "a b",
            "a\nb",
        ] {
            assert!(ArchivePath::new(path).is_err(), "{path:?}");
            let json = serde_json::to_string(path).unwrap();
            assert!(serde_json::from_str::<ArchivePath>(&json).is_err(), "{path:?}");
        }
    }

    #[test]
    fn pool_directories_are_those_of_debian() {
        let directory = |component: &str, source: &str| {
            let component = Component::new(component).unwrap();
            ArchivePath::pool_directory(&component, &SourceName::new(source).unwrap()).to_string()
        };
        assert_eq!(directory("main", "wackadoodle"), "pool/main/w/wackadoodle");
        assert_eq!(directory("vendor/hp", "libhp"), "pool/vendor/hp/libh/libhp");
        assert_eq!(directory("main", "lib"), "pool/main/lib/lib");
    }

    #[test]
    fn by_hash_names_lie_beside_the_index() {
        let digest = Sha256::of(b"");
        let path = ArchivePath::new("main/binary-amd64/Packages.gz").unwrap();
        assert_eq!(
            path.by_hash(&digest).as_str(),
            format!("main/binary-amd64/by-hash/SHA256/{digest}")
        );
        let path = ArchivePath::new("Contents-amd64.gz").unwrap();
        assert_eq!(path.by_hash(&digest).as_str(), format!("by-hash/SHA256/{digest}"));
    }
}
