//! How a stanza of an upstream's index looks in an index of ours: as it was written, but for the place of its files,
//! their digests, and what an override changes. Field order is reprepro's, so that a move from it changes no line.

use crate::model::digest::DigestKind;
use crate::model::{PoolFile, Stanza};

/// Whether an installation database wrote it; an index must not say that a package is installed.
fn is_foreign(name: &str) -> bool {
    name.eq_ignore_ascii_case("Status")
}

type Overrides<'a> = &'a [(String, Option<String>)];

/// The stanza of a binary package whose file is `file` here.
pub fn binary(stanza: &Stanza, overrides: Overrides<'_>, kinds: &[DigestKind], file: &PoolFile) -> Vec<u8> {
    let is_ours = |name: &str| {
        // older tools wrote digests of kinds that are not asked for here: those that were checked may stay
        let replaced = [DigestKind::Md5, DigestKind::Sha1, DigestKind::Sha256];
        let is_digest = |kind: &DigestKind| kind.packages_field().eq_ignore_ascii_case(name);
        name.eq_ignore_ascii_case("Size") || replaced.iter().chain(kinds).any(is_digest)
    };
    let mut text = Text::default();
    let mut has_digests = false;
    for (name, value) in stanza.iter() {
        if is_ours(name) || is_foreign(name) || is_overridden(name, overrides) {
            continue;
        }
        if name.eq_ignore_ascii_case("Filename") {
            text.overrides(overrides);
            text.field(name, file.path.as_str().as_bytes());
            continue;
        }
        if name.eq_ignore_ascii_case("Description") {
            text.digests(kinds, file);
            has_digests = true;
        }
        text.field(name, value);
    }
    if !has_digests {
        text.digests(kinds, file);
    }
    text.finish()
}

/// The stanza of a source package whose files are `files` here, the .dsc first.
pub fn source(stanza: &Stanza, overrides: Overrides<'_>, kinds: &[DigestKind], files: &[PoolFile]) -> Vec<u8> {
    let is_list = |name: &str| {
        let replaced = [DigestKind::Md5, DigestKind::Sha1, DigestKind::Sha256];
        let mut lists = replaced.iter().chain(kinds);
        lists.any(|kind| kind.source_field().eq_ignore_ascii_case(name))
    };
    let mut text = Text::default();
    let mut has_lists = false;
    for (name, value) in stanza.iter() {
        if is_list(name) {
            if !has_lists {
                text.lists(kinds, files);
                has_lists = true;
            }
        } else if name.eq_ignore_ascii_case("Directory") {
            text.overrides(overrides);
            let directory = files.first().map_or("", |file| file.path.directory());
            text.field(name, directory.as_bytes());
        } else if !is_foreign(name) && !is_overridden(name, overrides) {
            text.field(name, value);
        }
    }
    text.finish()
}

fn is_overridden(name: &str, overrides: Overrides<'_>) -> bool {
    overrides.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b':');
        if !matches!(value.first(), None | Some(b'\n')) {
            self.0.push(b' ');
        }
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    fn overrides(&mut self, overrides: Overrides<'_>) {
        // reprepro puts each override before the one that came earlier
        for (name, value) in overrides.iter().rev() {
            if let Some(value) = value {
                self.field(name, value.as_bytes());
            }
        }
    }

    fn digests(&mut self, kinds: &[DigestKind], file: &PoolFile) {
        self.field("Size", file.content.size_bytes.to_string().as_bytes());
        for kind in DigestKind::ALL.into_iter().rev().filter(|kind| kinds.contains(kind)) {
            if let Some(digest) = file.content.digests.hex(kind) {
                self.field(kind.packages_field(), digest.as_bytes());
            }
        }
    }

    fn lists(&mut self, kinds: &[DigestKind], files: &[PoolFile]) {
        for kind in DigestKind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
            let line = |file: &PoolFile| {
                let digest = file.content.digests.hex(kind)?;
                Some(format!(
                    "\n {digest} {} {}",
                    file.content.size_bytes,
                    file.path.file_name()
                ))
            };
            if let Some(lines) = files.iter().map(line).collect::<Option<String>>() {
                // reprepro has a blank after the colon here
                self.0.extend_from_slice(kind.source_field().as_bytes());
                self.0.extend_from_slice(b": ");
                self.0.extend_from_slice(lines.as_bytes());
                self.0.push(b'\n');
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'\n');
        // it is kept until all is done, with those of all other packages
        self.0.shrink_to_fit();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ArchivePath, Hasher};

    const KINDS: [DigestKind; 3] = [DigestKind::Md5, DigestKind::Sha1, DigestKind::Sha256];

    fn file(path: &str) -> PoolFile {
        PoolFile {
            path: ArchivePath::new(path).unwrap(),
            content: Hasher::default().finish(),
        }
    }

    fn names(text: &[u8]) -> Vec<String> {
        let stanza = Stanza::parse(text).unwrap();
        stanza.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// The order was observed with reprepro.
    #[test]
    fn a_binary_stanza_has_the_order_of_reprepro() {
        let upstream = b"Package: a\nVersion: 1\nSection: misc\nPriority: optional\nFilename: x/a.deb\nSize: 9\n\
            MD5sum: 1\nSHA1: 2\nSHA256: 3\nSHA512: 4\nDescription: d\n long\nDescription-md5: 5\nTag: t\n";
        let overrides = [("Section", "net"), ("X-New", "yes"), ("Tag", "z")];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        let text = binary(
            &Stanza::parse(upstream).unwrap(),
            &overrides,
            &KINDS,
            &file("pool/main/a/a/a_1_all.deb"),
        );
        assert_eq!(
            names(&text),
            [
                "Package",
                "Version",
                "Priority",
                "Tag",
                "X-New",
                "Section",
                "Filename",
                "SHA512",
                "Size",
                "SHA256",
                "SHA1",
                "MD5sum",
                "Description",
                "Description-md5"
            ]
        );
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\nFilename: pool/main/a/a/a_1_all.deb\n"), "{text}");
        assert!(
            text.contains("\nSize: 0\n") && text.contains("\nSection: net\n"),
            "{text}"
        );
        assert!(text.ends_with("\nDescription-md5: 5\n\n"), "{text}");
    }

    /// The order was observed with reprepro.
    #[test]
    fn a_source_stanza_has_the_order_of_reprepro() {
        let upstream = b"Package: a\nDirectory: x\nFormat: 1.0\nFiles:\n 1 9 a.dsc\nChecksums-Sha256:\n 2 9 a.dsc\n\
            Homepage: h\nChecksums-Sha512:\n 3 9 a.dsc\n";
        let text = source(
            &Stanza::parse(upstream).unwrap(),
            &[],
            &KINDS,
            &[file("pool/main/a/a/a.dsc")],
        );
        assert_eq!(
            names(&text),
            [
                "Package",
                "Directory",
                "Format",
                "Files",
                "Checksums-Sha1",
                "Checksums-Sha256",
                "Homepage",
                "Checksums-Sha512"
            ]
        );
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\nDirectory: pool/main/a/a\n"), "{text}");
        assert!(
            text.contains("\nFiles: \n d41d8cd98f00b204e9800998ecf8427e 0 a.dsc\n"),
            "{text}"
        );
    }
}
