//! A package as an upstream's index describes it: read from its stanza, with the files that it needs, and how its
//! stanza looks in an index of ours.

use std::path::Path;

use crate::model::digest::DigestKind;
use crate::model::package::{BinaryControl, ListedFile, PackageError};
use crate::model::{
    ArchivePath, Component, Entry, IndexId, PackageArchitecture, PackageName, PackageType, PoolFile, Promise,
    SourceControl, SourceName, Stanza, Version,
};

use super::super::Result;
use super::super::select::Offer;
use super::Error;
use super::texts::Place;

/// The longest file of a package.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 30;

/// A package that an upstream offers.
#[derive(Debug)]
pub(super) struct Offered {
    pub name: PackageName,
    pub version: Version,
    pub source: SourceName,
    pub source_version: Version,
    pub architecture: Option<PackageArchitecture>,
    pub stanza: Stanza,
    files: Vec<ListedFile>,
}

impl Offered {
    /// Reads a whole stanza.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn read(text: &[u8], package_type: PackageType) -> std::result::Result<Self, String> {
        let stanza = Stanza::parse(text).map_err(|error| error.to_string())?;
        let read = if package_type == PackageType::Dsc {
            Self::read_source(stanza)
        } else {
            Self::read_binary(stanza)
        };
        read.map_err(|error| super::super::with_causes(&error))
    }

    fn read_binary(stanza: Stanza) -> std::result::Result<Self, PackageError> {
        let control = BinaryControl::from_stanza(stanza)?;
        Ok(Self {
            name: control.package,
            version: control.version,
            source: control.source,
            source_version: control.source_version,
            architecture: Some(control.architecture),
            stanza: control.stanza,
            files: Vec::new(),
        })
    }

    fn read_source(stanza: Stanza) -> std::result::Result<Self, PackageError> {
        // a Sources index calls the source Package, as the .dsc does not
        let mut dsc = stanza.clone();
        let name = stanza.get("Package").unwrap_or_default().to_owned();
        dsc.set("Source", name.as_str());
        let control = SourceControl::from_stanza(dsc)?;
        let name = PackageName::new(control.source.as_str()).map_err(|source| PackageError::Name {
            field: "Package",
            source,
        })?;
        Ok(Self {
            name,
            source_version: control.version.clone(),
            version: control.version,
            source: control.source,
            architecture: None,
            stanza,
            files: control.files,
        })
    }

    /// The files of the package, with their places for a component of ours; the .dsc first for a source.
    fn parts(&self, component: &Component, package_type: PackageType) -> std::result::Result<Vec<Part>, String> {
        let directory = ArchivePath::pool_directory(component, &self.source);
        match &self.architecture {
            Some(architecture) => {
                let version = self.version.without_epoch();
                let file_name = format!("{}_{version}_{architecture}.{package_type}", self.name);
                Ok(vec![binary_part(&self.stanza, &directory, &file_name)?])
            }
            None => source_parts(self, &directory),
        }
    }

    /// The package as filters see it.
    pub fn offer(&self) -> Offer<'_> {
        Offer {
            name: &self.name,
            version: &self.version,
            source: &self.source,
            source_version: &self.source_version,
            stanza: &self.stanza,
        }
    }
}

/// A file that a package needs.
#[derive(Debug)]
pub(super) struct Part {
    /// Its place in our pool.
    pub path: ArchivePath,
    pub source: PartSource,
}

/// Where a file is to be had.
#[derive(Debug)]
pub(super) struct PartSource {
    /// Its place in the upstream's archive.
    pub from: String,
    /// What the index promises of it.
    pub promise: Promise,
}

/// A package that is taken over. There are tens of thousands in a first mirror, so its stanza stays in the list.
#[derive(Debug)]
pub(super) struct Candidate {
    pub name: PackageName,
    pub version: Version,
    source: SourceName,
    source_version: Version,
    /// The places of its files in our pool; the .dsc first for a source.
    pub paths: Box<[ArchivePath]>,
    /// What is known of its files, until they are asked for.
    pub sought: Option<Box<Sought>>,
    place: Place,
    /// The place of the upstream's index in `Jobs::sources`.
    pub offer: usize,
}

/// What is known of a package's files before they are here.
#[derive(Debug)]
pub(super) struct Sought {
    /// None for a source.
    pub architecture: Option<PackageArchitecture>,
    /// In the order of the package's paths.
    pub files: Box<[PartSource]>,
}

impl Candidate {
    /// What is taken over of a package for an index of ours.
    ///
    /// # Errors
    /// A text that says what is wrong with the files that it lists.
    pub fn new(offered: Offered, index: &IndexId, offer: usize, place: Place) -> std::result::Result<Self, String> {
        let parts = offered.parts(&index.component, index.kind.package_type())?;
        let (paths, files): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.path, part.source)).unzip();
        let files = files.into_boxed_slice();
        let architecture = offered.architecture;
        Ok(Self {
            name: offered.name,
            version: offered.version,
            source: offered.source,
            source_version: offered.source_version,
            paths: paths.into(),
            sought: Some(Box::new(Sought { architecture, files })),
            place,
            offer,
        })
    }

    /// The package as an index of ours knows it, once its files are known.
    pub fn entry(&self, files: Vec<PoolFile>) -> Entry {
        Entry {
            name: self.name.clone(),
            version: self.version.clone(),
            source: self.source.clone(),
            source_version: self.source_version.clone(),
            files,
        }
    }

    /// Where its stanza is.
    pub fn into_place(self) -> Place {
        self.place
    }
}

/// A package as a published index of ours tells of it.
#[derive(Debug)]
pub(in super::super) struct OwnPackage {
    pub name: PackageName,
    pub version: Version,
    pub source: SourceName,
    pub source_version: Version,
    /// Where its files are, with what is promised of them; the .dsc first for a source.
    pub files: Vec<(ArchivePath, Promise)>,
}

/// Reads a stanza of a published index of ours, of this component.
///
/// # Errors
/// A text that says what is wrong.
pub(in super::super) fn read_own(
    text: &[u8],
    component: &Component,
    package_type: PackageType,
) -> std::result::Result<OwnPackage, String> {
    let offered = Offered::read(text, package_type)?;
    let file = |part: Part| {
        Ok((
            ArchivePath::new(&part.source.from).map_err(|error| error.to_string())?,
            part.source.promise,
        ))
    };
    let parts = offered.parts(component, package_type)?;
    Ok(OwnPackage {
        files: parts
            .into_iter()
            .map(file)
            .collect::<std::result::Result<_, String>>()?,
        name: offered.name,
        version: offered.version,
        source: offered.source,
        source_version: offered.source_version,
    })
}

/// A path in an upstream's archive; some start with `./`.
fn upstream_path(text: &str) -> std::result::Result<String, String> {
    let path = text.trim_start_matches("./");
    ArchivePath::new(path).map_err(|error| error.to_string())?;
    Ok(path.to_owned())
}

fn binary_part(stanza: &Stanza, directory: &ArchivePath, file_name: &str) -> std::result::Result<Part, String> {
    let from = upstream_path(stanza.get("Filename").ok_or("field `Filename` is missing")?)?;
    let size = stanza.get("Size").ok_or("field `Size` is missing")?;
    let size_bytes = size.parse().map_err(|_| "field `Size` is no number of bytes")?;
    let mut promise = Promise {
        size_bytes: Some(size_bytes),
        ..Promise::default()
    };
    for kind in DigestKind::ALL {
        if let Some(digest) = stanza.get(kind.packages_field()) {
            promise.set(kind, digest).map_err(|error| error.to_string())?;
        }
    }
    check_promise(&promise)?;
    Ok(Part {
        path: directory.join(file_name).map_err(|error| error.to_string())?,
        source: PartSource { from, promise },
    })
}

fn source_parts(offered: &Offered, directory: &ArchivePath) -> std::result::Result<Vec<Part>, String> {
    let from = offered.stanza.get("Directory").ok_or("field `Directory` is missing")?;
    let from = match from.trim_end_matches('/').trim_start_matches("./") {
        "" | "." => String::new(),
        path => format!("{}/", upstream_path(path)?),
    };
    let mut parts = Vec::new();
    for file in &offered.files {
        check_promise(&file.promise)?;
        parts.push(Part {
            path: directory.join(file.name.as_str()).map_err(|error| error.to_string())?,
            source: PartSource {
                from: format!("{from}{}", file.name),
                promise: file.promise,
            },
        });
    }
    let is_dsc = |part: &Part| {
        Path::new(part.path.as_str())
            .extension()
            .is_some_and(|end| end == "dsc")
    };
    match parts.iter().filter(|part| is_dsc(part)).count() {
        1 => {
            parts.sort_by_key(|part| !is_dsc(part));
            Ok(parts)
        }
        count => Err(format!("it lists {count} .dsc files, not one")),
    }
}

/// A file that nothing is promised of could be anything, and one that is too long fill the disk.
fn check_promise(promise: &Promise) -> std::result::Result<(), String> {
    if let Some(size) = promise.size_bytes.filter(|size| *size > MAX_FILE_BYTES) {
        return Err(format!(
            "the `Size` of its file is {size}: must be at most {MAX_FILE_BYTES}"
        ));
    }
    let has_any =
        promise.md5.is_some() || promise.sha1.is_some() || promise.sha256.is_some() || promise.sha512.is_some();
    if has_any {
        Ok(())
    } else {
        Err("it has no digest of its file".into())
    }
}

/// A stanza's fault as an error of the rule.
pub(super) fn fault(rule: &str, list: &Path, text: &[u8], problem: String) -> super::super::Error {
    let line = text
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(b"Package:"));
    let package = String::from_utf8_lossy(line.and_then(|line| line.get(8..)).unwrap_or_default());
    Error::Stanza {
        rule: rule.to_owned(),
        list: list.to_owned(),
        package: package
            .trim()
            .chars()
            .take(100)
            .flat_map(char::escape_default)
            .collect(),
        problem,
    }
    .into()
}

/// The result of looking at a stanza, as the rule's.
pub(super) fn or_fault<T>(result: std::result::Result<T, String>, rule: &str, list: &Path, text: &[u8]) -> Result<T> {
    result.map_err(|problem| fault(rule, list, text, problem))
}
