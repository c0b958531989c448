//! The Release files that an archive publishes: the signed one of a distribution and the small one beside each index
//! (DebianRepository/Format, "Release files"). Pure: field order and shapes are those of reprepro, so that scripts that
//! cut them apart keep working; `Acquire-By-Hash` is the one field that comes on top.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::digest::{DigestKind, FileDigests};
use super::path::ArchivePath;

/// The Release file of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `Origin`.
    pub origin: Option<String>,
    /// `Label`.
    pub label: Option<String>,
    /// `Suite`.
    pub suite: Option<String>,
    /// `Codename`.
    pub codename: String,
    /// `Version`.
    pub version: Option<String>,
    /// `Date`, in Unix seconds.
    pub date: i64,
    /// `Valid-Until`, in Unix seconds.
    pub valid_until: Option<i64>,
    /// `Architectures`, without `source`.
    pub architectures: Vec<String>,
    /// `Components`.
    pub components: Vec<String>,
    /// `Description`.
    pub description: Option<String>,
    /// `Signed-By`.
    pub signed_by: Option<String>,
    /// `NotAutomatic`.
    pub not_automatic: Option<String>,
    /// `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: Option<String>,
    /// Which blocks of digests there are.
    pub digests: Vec<DigestKind>,
    /// The files, in the order in which each block lists them; paths below the distribution's directory.
    pub files: Vec<ReleaseFile>,
}

/// A file that Release lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFile {
    /// Its path below the distribution's directory.
    pub path: ArchivePath,
    /// Its size and digests. One that lacks a kind is not listed in that kind's block.
    pub content: FileDigests,
}

impl Release {
    /// The file's text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Fields::default();
        text.optional("Origin", self.origin.as_deref());
        text.optional("Label", self.label.as_deref());
        text.optional("Suite", self.suite.as_deref());
        text.field("Codename", &self.codename);
        text.optional("Version", self.version.as_deref());
        text.field("Date", &format_date(self.date));
        text.optional("Valid-Until", self.valid_until.map(format_date).as_deref());
        text.field("Architectures", &self.architectures.join(" "));
        text.field("Components", &self.components.join(" "));
        text.optional("Description", self.description.as_deref());
        text.optional("Signed-By", self.signed_by.as_deref());
        text.optional("NotAutomatic", self.not_automatic.as_deref());
        text.optional("ButAutomaticUpgrades", self.but_automatic_upgrades.as_deref());
        text.field("Acquire-By-Hash", "yes");
        let mut text = text.0;
        for kind in DigestKind::ALL.into_iter().filter(|kind| self.digests.contains(kind)) {
            text.push_str(kind.release_field());
            text.push_str(":\n");
            for file in &self.files {
                if let Some(digest) = file.content.digests.hex(kind) {
                    // writing to a String cannot fail
                    let _ = writeln!(text, " {digest} {} {}", file.content.size_bytes, file.path);
                }
            }
        }
        text
    }
}

/// The Release file in the directory of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryRelease<'a> {
    /// `Archive`: the suite.
    pub archive: Option<&'a str>,
    /// `Version`.
    pub version: Option<&'a str>,
    /// `Component`.
    pub component: &'a str,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Label`.
    pub label: Option<&'a str>,
    /// `Architecture`, or `source`.
    pub architecture: &'a str,
    /// `NotAutomatic`.
    pub not_automatic: Option<&'a str>,
    /// `ButAutomaticUpgrades`.
    pub but_automatic_upgrades: Option<&'a str>,
    /// `Description`.
    pub description: Option<&'a str>,
}

impl DirectoryRelease<'_> {
    /// The file's text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Fields::default();
        text.optional("Archive", self.archive);
        text.optional("Version", self.version);
        text.field("Component", self.component);
        text.optional("Origin", self.origin);
        text.optional("Label", self.label);
        text.field("Architecture", self.architecture);
        text.optional("NotAutomatic", self.not_automatic);
        text.optional("ButAutomaticUpgrades", self.but_automatic_upgrades);
        text.optional("Description", self.description);
        text.0
    }
}

#[derive(Default)]
struct Fields(String);

impl Fields {
    fn field(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\n"] {
            self.0.push_str(part);
        }
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }
}

/// A point in time as Release files write it: `Mon, 23 Nov 2026 07:41:49 UTC`. Times beyond the year 9999 become the
/// last moment of that year.
#[must_use]
pub fn format_date(unix_seconds: i64) -> String {
    let limit = if unix_seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    let time = Timestamp::from_second(unix_seconds).unwrap_or(limit);
    time.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hasher;

    fn release() -> Release {
        Release {
            origin: Some("O".into()),
            label: Some("L".into()),
            suite: Some("tsuite".into()),
            codename: "t".into(),
            version: Some("1.0".into()),
            date: 1_795_442_319,
            valid_until: Some(1_795_442_319 + 10 * 86_400),
            architectures: vec!["i386".into(), "amd64".into()],
            components: vec!["main".into(), "contrib".into()],
            description: Some("A description".into()),
            signed_by: Some("0123".into()),
            not_automatic: Some("yes".into()),
            but_automatic_upgrades: Some("yes".into()),
            digests: vec![DigestKind::Md5, DigestKind::Sha256],
            files: vec![ReleaseFile {
                path: ArchivePath::new("main/binary-i386/Packages").unwrap(),
                content: Hasher::default().finish(),
            }],
        }
    }

    #[test]
    fn all_fields_stand_in_the_order_of_reprepro() {
        assert_eq!(
            release().render(),
            "Origin: O\nLabel: L\nSuite: tsuite\nCodename: t\nVersion: 1.0\n\
             Date: Mon, 23 Nov 2026 13:58:39 UTC\nValid-Until: Thu, 03 Dec 2026 13:58:39 UTC\n\
             Architectures: i386 amd64\nComponents: main contrib\nDescription: A description\nSigned-By: 0123\n\
             NotAutomatic: yes\nButAutomaticUpgrades: yes\nAcquire-By-Hash: yes\n\
             MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/binary-i386/Packages\n\
             SHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-i386/Packages\n"
        );
    }

    #[test]
    fn what_is_not_set_leaves_no_field() {
        let bare = DirectoryRelease {
            archive: None,
            version: None,
            component: "main",
            origin: None,
            label: None,
            architecture: "source",
            not_automatic: None,
            but_automatic_upgrades: None,
            description: None,
        };
        assert_eq!(bare.render(), "Component: main\nArchitecture: source\n");
        let full = DirectoryRelease {
            archive: Some("tsuite"),
            version: Some("1.0"),
            origin: Some("O"),
            label: Some("L"),
            not_automatic: Some("yes"),
            but_automatic_upgrades: Some("no"),
            description: Some("D"),
            ..bare
        };
        assert_eq!(
            full.render(),
            "Archive: tsuite\nVersion: 1.0\nComponent: main\nOrigin: O\nLabel: L\nArchitecture: source\n\
             NotAutomatic: yes\nButAutomaticUpgrades: no\nDescription: D\n"
        );
    }

    #[test]
    fn any_time_has_a_date() {
        assert_eq!(format_date(0), "Thu, 01 Jan 1970 00:00:00 UTC");
        assert!(format_date(i64::MAX).ends_with("UTC"));
    }
}
