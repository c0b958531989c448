//! `includedsc`, and the source package of an upload.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::conf::Ignore;
use crate::conf::overrides::Replacement;
use crate::fsio::{self, AtPath};
use crate::ingest::source::{Classification, IncomingPart, check_parts, classify, packaging_file, receive_parts};
use crate::ingest::{IncomingControl, Intake, Limits, SpooledFile};
use crate::model::package::{FileName, ListedFile, Listing, sources_stanza};
use crate::model::{
    ArchivePath, Entry, ErrorKind, IndexId, IndexKind, ListedPackage, PackageName, PackageType, PoolFile, SourceControl,
};

use super::super::archive::Archive;
use super::super::lookup::describe;
use super::super::session::Outcome;
use super::binary::Columns;
use super::signatures::{payload, upload_keyring};
use super::{Arrived, Batch, Error, Result, bring_in};

/// Adds source packages, each with the files that its .dsc names.
///
/// # Errors
/// One of them cannot be taken: none is then. Publishing can fail after the change.
pub fn include_sources(archive: &Archive<'_>, distribution: &str, files: &[PathBuf]) -> Result<Outcome> {
    let distribution = archive.writable_distribution(distribution)?;
    let keyring = upload_keyring(archive)?;
    let receive = |intake: &Intake, file: &Path| {
        let dsc = intake.control(file, None)?;
        let read = payload(archive, file, &dsc.text, &keyring)?;
        let control = SourceControl::parse(&read.text).map_err(|source| Error::package(file, source))?;
        check_parts(&control).map_err(|source| Error::Format {
            path: file.to_owned(),
            source,
        })?;
        let parts = receive_parts(intake, &control, crate::fsio::parent(file))?;
        Ok(IncomingSource { dsc, control, parts })
    };
    bring_in(archive, distribution, files, receive, |batch, source| {
        batch.check_type(PackageType::Dsc)?;
        batch.add_source(source, Columns::default())
    })
}

/// A source package in the spool.
#[derive(Debug)]
pub(super) struct IncomingSource {
    pub dsc: IncomingControl,
    pub control: SourceControl,
    pub parts: Vec<IncomingPart>,
}

impl Batch<'_> {
    /// Plans one source package.
    pub(super) fn add_source(&mut self, incoming: IncomingSource, columns: Columns<'_>) -> Result<()> {
        let IncomingSource {
            dsc, control, parts, ..
        } = incoming;
        if !self.distribution.has_sources {
            return Err(Error::UnknownArchitecture {
                architecture: "source".into(),
                codename: self.distribution.codename.to_string(),
                nearest: None,
            });
        }
        let own = self.classification(&control, &parts, columns)?;
        let replaced = self.overrides.find(PackageType::Dsc, control.source.as_str());
        let section = self.section(replaced, own.section.as_ref(), None)?;
        let priority = self.priority(replaced, own.priority.as_ref(), None)?;
        let component = self.component(&dsc.file.origin, PackageType::Dsc, replaced, &section)?;
        let directory = ArchivePath::pool_directory(&component, &control.source);
        let index = IndexId {
            codename: self.distribution.codename.clone(),
            component,
            kind: IndexKind::Source,
        };

        let dsc = Arrived {
            path: directory.join(&control.file_name())?,
            file: dsc.file,
            file_list: None,
        };
        let (files, arrived) = self.source_files(&directory, dsc, parts)?;
        let overrides = replaced.map(Replacement::changes).unwrap_or_default();
        let listing = Listing {
            section: &section,
            priority: &priority,
            overrides: &overrides,
            kinds: &self.distribution.digests,
        };
        let text = sources_stanza(&control, &listing, &directory, &files);
        let SourceControl { source, version, .. } = control;
        let name = PackageName::new(source.as_str())?;
        let entry = Entry {
            name,
            version: version.clone(),
            source,
            source_version: version,
            files,
        };
        self.place(&[index], &ListedPackage { entry, text }, arrived)
    }

    /// The files of a source package, the .dsc first, and those of them that came in.
    fn source_files(
        &self,
        directory: &ArchivePath,
        dsc: Arrived,
        parts: Vec<IncomingPart>,
    ) -> Result<(Vec<PoolFile>, Vec<Arrived>)> {
        let mut files = vec![dsc.pool_file()];
        let mut arrived = vec![dsc];
        for part in parts {
            let path = directory.join(part.listed.name.as_str())?;
            let Some(file) = part.file else {
                files.push(self.in_pool(path, &part.listed)?);
                continue;
            };
            let part = Arrived {
                path,
                file,
                file_list: None,
            };
            files.push(part.pool_file());
            arrived.push(part);
        }
        Ok((files, arrived))
    }

    /// What the .changes, the .dsc, or else the source's own debian/control says; opened only where nothing else does.
    fn classification(
        &self,
        control: &SourceControl,
        parts: &[IncomingPart],
        columns: Columns<'_>,
    ) -> Result<Classification> {
        let options = &self.archive.settings.options;
        let mut known = Classification {
            section: columns.section.or(control.section.as_ref()).cloned(),
            priority: columns.priority.or(control.priority.as_ref()).cloned(),
        };
        let has_both = (known.section.is_some() || options.section.is_some())
            && (known.priority.is_some() || options.priority.is_some());
        let packaging = packaging_file(control).filter(|_| !has_both);
        let part = packaging.and_then(|listed| parts.iter().find(|part| part.listed.name == listed.name));
        if let Some((part, file)) = part.and_then(|part| part.file.as_ref().map(|file| (part, file))) {
            let found = classify(file.path(), &part.listed.name, &Limits::default())?;
            known.section = known.section.or(found.section);
            known.priority = known.priority.or(found.priority);
        }
        Ok(known)
    }

    /// A file that a .dsc names and nobody brought: it must be in the pool, as promised.
    fn in_pool(&self, path: ArchivePath, listed: &ListedFile) -> Result<PoolFile> {
        let missing = |path: &ArchivePath| Error::MissingPart {
            file: listed.name.to_string(),
            path: path.clone(),
        };
        let Some(record) = self.store.pool_file(&path)? else {
            return Err(missing(&path));
        };
        let place = path.to_fs_path(&self.archive.directories.out);
        let size_bytes = match std::fs::metadata(&place).at("read", &place) {
            Err(error) if error.is_not_found() => return Err(missing(&path)),
            found => found?.len(),
        };
        // a file that nothing refers to may be torn by a crash
        let is_trusted = record.unreferenced_since.is_none() && size_bytes == record.content.size_bytes;
        let found = if is_trusted {
            record.content
        } else {
            fsio::digest_file(&place)?
        };
        let differences = listed.promise.broken_by(&found);
        if !differences.is_empty() {
            let references = self.store.references(&path)?.iter().map(describe).collect();
            return Err(Error::OtherContent {
                path,
                differences,
                references,
            });
        }
        Ok(PoolFile {
            path,
            content: record.content,
        })
    }
}

/// Gives each file that a .dsc names to it, from what an upload brought.
///
/// # Errors
/// A file is neither in the upload nor, with `--ignore=missingfile`, beside it, but the pool may still have it: that is
/// decided later.
pub(super) fn parts_of(
    archive: &Archive<'_>,
    intake: &Intake,
    control: &SourceControl,
    brought: &mut BTreeMap<FileName, SpooledFile>,
    directory: &Path,
) -> Result<Vec<IncomingPart>> {
    let mut parts = Vec::new();
    for listed in &control.files {
        let file = match brought.remove(&listed.name) {
            Some(file) => Some(file),
            None if archive.ignores(Ignore::MissingFile) => {
                match intake.file(crate::ingest::Place::In(directory, &listed.name), Some(&listed.promise)) {
                    Ok(file) => Some(file),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error.into()),
                }
            }
            None => None,
        };
        if let Some(file) = &file {
            let differences = listed.promise.broken_by(&file.content);
            if !differences.is_empty() {
                return Err(Error::Refused {
                    file: control.file_name(),
                    problems: differences.iter().map(|d| format!("`{}`: {d}", listed.name)).collect(),
                    words: Vec::new(),
                    kind: ErrorKind::Mismatch,
                });
            }
        }
        parts.push(IncomingPart {
            listed: listed.clone(),
            file,
        });
    }
    Ok(parts)
}
