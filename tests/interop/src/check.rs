//! What is checked of one distribution. The first fault ends it, named by the file that has it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Cursor, Read};

use debian_packaging::binary_package_control::BinaryPackageControlFile;
use debian_packaging::control::{ControlParagraph, ControlParagraphReader};
use debian_packaging::debian_source_control::DebianSourceControlFile;
use debian_packaging::dependency::DependencyList;
use debian_packaging::io::{ContentDigest, MultiDigester};
use debian_packaging::repository::release::{ChecksumType, ReleaseFile};

use crate::http;

/// How much was found good.
#[derive(Default)]
pub struct Counts {
    indexes: usize,
    packages: usize,
    sources: usize,
    dependencies: usize,
    pool_files: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} indexes, {} binary and {} source packages with {} dependencies, {} pool files",
            self.indexes, self.packages, self.sources, self.dependencies, self.pool_files
        )
    }
}

/// The checks of one distribution of the archive at `url`.
struct Check<'url> {
    url: &'url str,
    counts: Counts,
}

/// Checks `dists/CODENAME` and all that it names.
pub fn distribution(url: &str, codename: &str) -> Result<Counts, String> {
    let mut check = Check {
        url,
        counts: Counts::default(),
    };
    let path = format!("dists/{codename}/Release");
    let release = ReleaseFile::from_reader(Cursor::new(check.fetch(&path)?)).map_err(|error| said(&path, &error))?;
    check.fields(&path, codename, &release)?;
    for (index, text) in check.indexes(codename, &release)? {
        let reader = ControlParagraphReader::new(BufReader::new(Cursor::new(text)));
        for paragraph in reader {
            let paragraph = paragraph.map_err(|error| said(&index, &error))?;
            if index.ends_with("/Packages") {
                check.binary(&index, paragraph)?;
            } else if index.ends_with("/Sources") {
                check.source(&index, paragraph)?;
            }
        }
    }
    if check.counts.packages == 0 {
        return Err("has no binary package".to_owned());
    }
    Ok(check.counts)
}

fn said(path: &str, error: &dyn fmt::Display) -> String {
    format!("{path}: {error}")
}

impl Check<'_> {
    fn fetch(&self, path: &str) -> Result<Vec<u8>, String> {
        http::get(self.url, path)?.ok_or_else(|| said(path, &"is not there"))
    }

    fn fields(&self, path: &str, codename: &str, release: &ReleaseFile) -> Result<(), String> {
        if release.codename() != Some(codename) {
            return Err(said(path, &format!("has the codename {:?}", release.codename())));
        }
        let date = release.date().ok_or_else(|| said(path, &"has no Date"))?;
        date.map_err(|error| said(path, &error))?;
        let components = release.components().map_or(0, Iterator::count);
        let architectures = release.architectures().map_or(0, Iterator::count);
        if components == 0 || architectures == 0 {
            return Err(said(path, &"names no component or no architecture"));
        }
        Ok(())
    }

    /// Fetches every index that Release lists, under each of its digests; gives the stanza indexes as text, by their
    /// names without the ending of a compression.
    fn indexes(&mut self, codename: &str, release: &ReleaseFile) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let root = format!("dists/{codename}");
        let mut texts = BTreeMap::new();
        let mut listed = BTreeMap::new();
        for kind in [ChecksumType::Md5, ChecksumType::Sha1, ChecksumType::Sha256] {
            for entry in release.iter_index_files(kind).into_iter().flatten() {
                let entry = entry.map_err(|error| said(&root, &error))?;
                let path = format!("{root}/{}", entry.path);
                // the plain form of an index that is offered compressed is listed, as apt needs it, but may be left out
                let Some(bytes) = http::get(self.url, &path)? else {
                    listed.entry(path).or_insert(false);
                    continue;
                };
                has(&path, &bytes, entry.size, &entry.digest)?;
                if kind == ChecksumType::Sha256 && release.acquire_by_hash() == Some(true) {
                    let by_hash = format!("{root}/{}", entry.by_hash_path());
                    has(&by_hash, &self.fetch(&by_hash)?, entry.size, &entry.digest)?;
                }
                if let Some((plain, text)) = plain(&path, &bytes)? {
                    if texts.get(&plain).is_some_and(|other| *other != text) {
                        return Err(said(&path, &"differs from another form of this index"));
                    }
                    texts.insert(plain, text);
                }
                listed.insert(path, true);
            }
        }
        for (path, found) in &listed {
            if !found && !texts.contains_key(path) && !listed.contains_key(&format!("{path}.gz")) {
                return Err(said(path, &"is listed but not there"));
            }
        }
        self.counts.indexes = listed.values().filter(|found| **found).count();
        Ok(texts)
    }

    fn binary(&mut self, index: &str, paragraph: ControlParagraph<'_>) -> Result<(), String> {
        let package = BinaryPackageControlFile::from(paragraph);
        let name = package.package().map_err(|error| said(index, &error))?.to_owned();
        let fault = |error: &dyn fmt::Display| format!("{index}: {name}: {error}");
        package.version().map_err(|error| fault(&error))?;
        package.architecture().map_err(|error| fault(&error))?;
        package.package_dependency_fields().map_err(|error| fault(&error))?;
        for field in [
            "Depends",
            "Recommends",
            "Suggests",
            "Provides",
            "Conflicts",
            "Breaks",
            "Replaces",
        ] {
            if let Some(value) = package.field_str(field) {
                let list = DependencyList::parse(value).map_err(|error| fault(&error))?;
                self.counts.dependencies += list.requirements().count();
            }
        }
        let path = package.required_field_str("Filename").map_err(|error| fault(&error))?;
        let size = package
            .size()
            .ok_or_else(|| fault(&"no Size"))?
            .map_err(|error| fault(&error))?;
        let digest = package.required_field_str("SHA256").map_err(|error| fault(&error))?;
        let digest = ContentDigest::sha256_hex(digest).map_err(|error| fault(&error))?;
        has(path, &self.fetch(path)?, size, &digest)?;
        self.counts.packages += 1;
        self.counts.pool_files += 1;
        Ok(())
    }

    fn source(&mut self, index: &str, mut paragraph: ControlParagraph<'_>) -> Result<(), String> {
        // Sources calls Package what a .dsc calls Source
        let name = paragraph
            .required_field_str("Package")
            .map_err(|error| said(index, &error))?
            .to_owned();
        paragraph.set_field_from_string("Source".into(), name.clone().into());
        let fault = |error: &dyn fmt::Display| format!("{index}: {name}: {error}");
        let source = DebianSourceControlFile::from(paragraph);
        source.version().map_err(|error| fault(&error))?;
        let dependencies = source.package_dependency_fields().map_err(|error| fault(&error))?;
        self.counts.dependencies += dependencies.build_depends.map_or(0, |list| list.requirements().count());
        let files = source
            .file_fetches(ChecksumType::Sha256)
            .map_err(|error| fault(&error))?;
        for file in files {
            let file = file.map_err(|error| fault(&error))?;
            has(&file.path, &self.fetch(&file.path)?, file.size, &file.digest)?;
            self.counts.pool_files += 1;
        }
        self.counts.sources += 1;
        Ok(())
    }
}

/// Whether these are the bytes that were promised.
fn has(path: &str, bytes: &[u8], size: u64, digest: &ContentDigest) -> Result<(), String> {
    let mut digester = MultiDigester::default();
    digester.update(bytes);
    if bytes.len() as u64 != size {
        return Err(said(
            path,
            &format!("has {} bytes where {size} are listed", bytes.len()),
        ));
    }
    if !digester.finish().matches_digest(digest) {
        return Err(said(path, &format!("has not the digest {}", digest.digest_hex())));
    }
    Ok(())
}

/// A stanza index that is plain or gzip: its plain name and text.
fn plain(path: &str, bytes: &[u8]) -> Result<Option<(String, Vec<u8>)>, String> {
    let name = path.strip_suffix(".gz").unwrap_or(path);
    if !name.ends_with("/Packages") && !name.ends_with("/Sources") {
        return Ok(None);
    }
    let mut text = Vec::new();
    if name == path {
        text.extend_from_slice(bytes);
    } else {
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
        decoder.read_to_end(&mut text).map_err(|error| said(path, &error))?;
    }
    Ok(Some((name.to_owned(), text)))
}
