//! What the published indexes tell: each is believed only if it is what the signed Release promises.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::conf::distribution::{Compression, Distribution, SignWith};
use crate::conf::update::ListForm;
use crate::fsio;
use crate::mirror::{self, UpstreamRelease};
use crate::model::{DigestKind, Hasher, IndexId, ListedPackage, stanza};
use crate::pgp::{self, KeyHome, Keyring, Status};
use crate::publish::place_of;

use super::super::archive::Archive;
use super::super::update::{OwnPackage, read_own};
use super::super::with_causes;

/// Longest index that is read, unpacked.
const MAX_INDEX_BYTES: u64 = 2 << 30;

/// The published Release of a distribution, checked.
#[derive(Debug)]
pub(super) struct Published {
    release: UpstreamRelease,
    directory: PathBuf,
    /// `Date`, in Unix seconds.
    pub date: i64,
    /// When it was written, if it is still the same file: dates of states that follow each other quickly are ahead of
    /// the clock.
    pub unix_seconds: i64,
    /// What stands for it, for the report.
    pub trust: &'static str,
}

/// A package of a published index, before its files were looked at.
#[derive(Debug)]
pub(super) struct Listed {
    pub package: OwnPackage,
    pub text: Vec<u8>,
}

/// Reads and checks the published Release of a distribution.
///
/// # Errors
/// A text that says why it cannot be used.
pub(super) fn read(archive: &Archive<'_>, distribution: &Distribution) -> Result<Published, String> {
    let directory = archive.directories.dist.join(distribution.codename.as_str());
    let limit = pgp::MAX_SIGNED_BYTES as u64;
    let read = |name: &str| fsio::read_limited(&directory.join(name), limit).map_err(|error| with_causes(&error));
    let (text, trust) = match &distribution.sign_with {
        None => (read("Release")?, "its Release is not signed"),
        Some(signing) => {
            let keyring = keyring(archive)?;
            let signed = pgp::read_maybe_signed(&read("InRelease")?, &keyring, archive.settings.now)
                .map_err(|error| with_causes(&error))?;
            if let Some(broken) = signed.broken() {
                return Err(format!("InRelease is not what was signed: {broken}"));
            }
            // keys that have expired since, and times that have passed, do not matter: we signed it
            let is_ours = signed.signatures.iter().any(|signature| {
                matches!(
                    signature.status,
                    Status::Good | Status::Weak { .. } | Status::ExpiredKey { .. } | Status::ExpiredSignature { .. }
                )
            });
            let trust = match (is_ours, signing) {
                (true, _) => "its Release is signed",
                (false, SignWith::Script(_)) if !signed.signatures.is_empty() => {
                    "its Release is signed by a key that is not here"
                }
                _ => return Err("InRelease has no signature by a key of the archive".into()),
            };
            (signed.text, trust)
        }
    };
    let release = UpstreamRelease::parse(&text, &[])?;
    let date = release.date.ok_or("its Release has no `Date`")?;
    let written = fs::metadata(directory.join("Release")).map_or(date, |file| file.ctime());
    Ok(Published {
        date,
        unix_seconds: date.min(written),
        release,
        directory,
        trust,
    })
}

fn keyring(archive: &Archive<'_>) -> Result<Keyring, String> {
    KeyHome::open(&archive.directories.gnupg)
        .and_then(|home| home.keyring())
        .map_err(|error| with_causes(&error))
}

impl Published {
    /// The packages of an index.
    ///
    /// # Errors
    /// A text that says why they cannot be had.
    pub fn packages(&self, distribution: &Distribution, index: &IndexId) -> Result<Vec<Listed>, String> {
        let (names, directory) = place_of(distribution, index);
        let mut problems = Vec::new();
        for form in Compression::ALL {
            let path = format!("{directory}/{}{}", names.file_name, form.extension());
            match self.index_text(&path, form) {
                Ok(Some(text)) => return parse(&text, index).map_err(|problem| format!("`{path}`: {problem}")),
                Ok(None) => {}
                Err(problem) => problems.push(format!("`{path}`: {problem}")),
            }
        }
        if problems.is_empty() {
            problems.push(format!("`{directory}/{}` is not there", names.file_name));
        }
        Err(problems.join("; "))
    }

    /// The text of an index in one form; none if Release does not list that, or it is not there.
    fn index_text(&self, path: &str, form: Compression) -> Result<Option<Vec<u8>>, String> {
        let place = self.directory.join(path);
        let Some(promise) = self.release.promise(path).filter(|_| place.exists()) else {
            return Ok(None);
        };
        let found = fsio::digest_file_with(&place, Hasher::of_kinds(&DigestKind::ALL));
        let broken = promise.broken_by(&found.map_err(|error| with_causes(&error))?);
        if let Some(first) = broken.first() {
            return Err(format!("is not what Release promises: {first}"));
        }
        let form = match form {
            Compression::Plain => ListForm::Plain,
            Compression::Gzip => ListForm::Gzip,
            Compression::Bzip2 => ListForm::Bzip2,
            Compression::Xz => ListForm::Xz,
            Compression::Zstd => ListForm::Zstd,
        };
        let mut text = Vec::new();
        mirror::open_unpacked(form, &place)
            .map_err(|error| with_causes(&error))?
            .take(MAX_INDEX_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(|error| format!("cannot be unpacked: {error}"))?;
        if text.len() as u64 > MAX_INDEX_BYTES {
            return Err(format!("is longer than {MAX_INDEX_BYTES} bytes"));
        }
        Ok(Some(text))
    }
}

fn parse(text: &[u8], index: &IndexId) -> Result<Vec<Listed>, String> {
    let listed = |stanza: &[u8]| {
        let package = read_own(stanza, &index.component, index.kind.package_type())?;
        let text = [stanza, b"\n"].concat();
        Ok(Listed { package, text })
    };
    stanza::split_stanzas(text).map(listed).collect()
}

impl Listed {
    /// The package with what was found of its files.
    pub fn with_files(self, files: Vec<crate::model::PoolFile>) -> ListedPackage {
        let OwnPackage {
            name,
            version,
            source,
            source_version,
            ..
        } = self.package;
        ListedPackage {
            entry: crate::model::Entry {
                name,
                version,
                source,
                source_version,
                files,
            },
            text: self.text,
        }
    }
}
