//! How an index lists a package: the stanzas of Packages and Sources, in the field order of reprepro, so that a move
//! from it changes no line.

use super::super::digest::{DigestKind, Digests};
use super::super::entry::PoolFile;
use super::super::path::ArchivePath;
use super::super::stanza::Stanza;
use super::{BinaryControl, Priority, Section, SourceControl};

/// What the archive decides about a package that it lists.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// Its section.
    pub section: &'a Section,
    /// Its priority.
    pub priority: &'a Priority,
    /// The fields of an override, in the order of its file: the new value, or `None` for a field to be left out.
    /// Those that the archive writes itself are passed over here.
    pub overrides: &'a [(String, Option<String>)],
    /// The kinds of digest to write; one that is not known of a file is left out.
    pub kinds: &'a [DigestKind],
}

/// The fields that the archive writes into a Packages stanza. A package that brings one of these could give apt a wrong
/// digest or place, or say that it is installed.
const OWN_FIELDS: [&str; 10] = [
    "Package", "Priority", "Section", "Filename", "Size", "Status", "MD5sum", "SHA1", "SHA256", "SHA512",
];
const OWN_SOURCE_FIELDS: [&str; 10] = [
    "Package",
    "Source",
    "Status",
    "Priority",
    "Section",
    "Directory",
    "Files",
    "Checksums-Sha1",
    "Checksums-Sha256",
    "Checksums-Sha512",
];

/// The stanza of a Packages index: Package, the package's own fields, those of the archive, and from Description on the
/// package's again. An empty line ends it.
#[must_use]
pub fn packages_stanza(control: &BinaryControl, listing: &Listing<'_>, file: &PoolFile) -> Vec<u8> {
    let mut text = StanzaText::new("Package", control.package.as_str());
    let has_description = |name: &str| name.eq_ignore_ascii_case("Description");
    let mut placed = false;
    for (name, value) in kept_fields(&control.stanza, listing, &OWN_FIELDS) {
        if !placed && has_description(name) {
            push_archive_fields(&mut text, listing, file);
            placed = true;
        }
        text.push(name, value);
    }
    if !placed {
        push_archive_fields(&mut text, listing, file);
    }
    text.finish()
}

fn push_archive_fields(text: &mut StanzaText, listing: &Listing<'_>, file: &PoolFile) {
    push_overrides(text, listing, &OWN_FIELDS);
    text.push("Priority", listing.priority.as_str().as_bytes());
    text.push("Section", listing.section.as_str().as_bytes());
    text.push("Filename", file.path.as_str().as_bytes());
    text.push("Size", file.content.size_bytes.to_string().as_bytes());
    for kind in DigestKind::ALL.into_iter().rev() {
        if let Some(digest) = wanted(&file.content.digests, kind, listing.kinds) {
            text.push(kind.packages_field(), digest.as_bytes());
        }
    }
}

/// The stanza of a Sources index: Package, the .dsc's own fields, those of the archive. An empty line ends it.
///
/// `files` are those in `directory`, the .dsc first.
#[must_use]
pub fn sources_stanza(
    control: &SourceControl,
    listing: &Listing<'_>,
    directory: &ArchivePath,
    files: &[PoolFile],
) -> Vec<u8> {
    let mut text = StanzaText::new("Package", control.source.as_str());
    for (name, value) in kept_fields(&control.stanza, listing, &OWN_SOURCE_FIELDS) {
        text.push(name, value);
    }
    push_overrides(&mut text, listing, &OWN_SOURCE_FIELDS);
    text.push("Priority", listing.priority.as_str().as_bytes());
    text.push("Section", listing.section.as_str().as_bytes());
    text.push("Directory", directory.as_str().as_bytes());
    for kind in DigestKind::ALL {
        let lines: Option<String> = files
            .iter()
            .map(|file| {
                let digest = wanted(&file.content.digests, kind, listing.kinds)?;
                Some(format!(
                    "\n {digest} {} {}",
                    file.content.size_bytes,
                    file.path.file_name()
                ))
            })
            .collect();
        if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
            text.push_list(kind.source_field(), &lines);
        }
    }
    text.finish()
}

fn wanted(digests: &Digests, kind: DigestKind, kinds: &[DigestKind]) -> Option<String> {
    digests.hex(kind).filter(|_| kinds.contains(&kind))
}

/// The package's own fields that neither the archive nor an override replaces.
fn kept_fields<'a>(
    stanza: &'a Stanza,
    listing: &'a Listing<'_>,
    own: &'static [&'static str],
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    stanza.iter().filter(|(name, _)| {
        let is_named = |other: &str| other.eq_ignore_ascii_case(name);
        !own.iter().any(|other| is_named(other)) && !listing.overrides.iter().any(|(other, _)| is_named(other))
    })
}

fn push_overrides(text: &mut StanzaText, listing: &Listing<'_>, own: &[&str]) {
    // reprepro puts each override before the one that came earlier
    for (name, value) in listing.overrides.iter().rev() {
        let is_own = own.iter().any(|other| other.eq_ignore_ascii_case(name));
        if let Some(value) = value.as_ref().filter(|_| !is_own) {
            text.push(name, value.as_bytes());
        }
    }
}

struct StanzaText(Vec<u8>);

impl StanzaText {
    fn new(name: &str, value: &str) -> Self {
        let mut text = Self(Vec::with_capacity(2048));
        text.push(name, value.as_bytes());
        text
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b':');
        // a list that starts on the next line has no blank after the colon
        if !matches!(value.first(), None | Some(b'\n')) {
            self.0.push(b' ');
        }
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// A list that the archive writes; reprepro puts a blank after the colon here.
    fn push_list(&mut self, name: &str, lines: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(lines.as_bytes());
        self.0.push(b'\n');
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'\n');
        self.0
    }
}
