//! Which files the new packages of a run need: those that the pool has, and those that must be fetched.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use crate::fsio;
use crate::mirror;
use crate::model::{ArchivePath, Codename, FileDigests, PackageArchitecture, PackageName, Promise, Sha256, Version};
use crate::store::Store;

use super::super::archive::Archive;
use super::super::lookup::describe;
use super::super::{Error as OpsError, Result};
use super::Error;
use super::candidate::{Candidate, PartSource, Sought};
use super::download::waiting_room;
use super::files::Files;
use super::jobs::Jobs;

/// A file that is not in the pool. A first mirror has tens of thousands.
#[derive(Debug)]
pub(super) struct Need {
    pub source: PartSource,
    /// The place of the upstream's index in [`Jobs::sources`].
    pub offer: usize,
    /// Where it is asked for, if not at all addresses of the upstream any more.
    pub urls: Option<Vec<String>>,
    /// For a .deb: package, version and architecture that it must have.
    pub package: Option<Box<str>>,
    pub codenames: Vec<Codename>,
}

impl Need {
    /// The name under which it waits in the waiting room for its place in the pool.
    pub fn key(&self, path: &ArchivePath) -> Sha256 {
        // two places can have the same content: each is a file of its own
        Sha256::of(format!("{path} {:?}", self.source.promise).as_bytes())
    }
}

/// The files that the new packages of all distributions need.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub missing: BTreeMap<ArchivePath, Box<Need>>,
    /// The content of those that are in the pool.
    pub there: BTreeMap<ArchivePath, FileDigests>,
}

impl Needs {
    /// Notes what one package needs.
    ///
    /// # Errors
    /// The pool, or another package of this run, has another file at that place.
    pub fn add(
        &mut self,
        archive: &Archive<'_>,
        store: &Store,
        jobs: &Jobs<'_>,
        (codename, candidate): (&Codename, &mut Candidate),
    ) -> Result<()> {
        let Some(Sought { architecture, files }) = candidate.sought.take().map(|sought| *sought) else {
            return Ok(());
        };
        let package = architecture.map(|architecture| deb_identity(&candidate.name, &candidate.version, &architecture));
        for (path, source) in candidate.paths.iter().zip(files) {
            if let Some(need) = self.missing.get_mut(path) {
                if need.source.promise.contradicts(&source.promise) {
                    return Err(contradiction((path, need), jobs, candidate).into());
                }
                if !need.codenames.contains(codename) {
                    need.codenames.push(codename.clone());
                }
                continue;
            }
            let known = match self.there.get(path) {
                Some(content) => Some(*content),
                None => in_pool(archive, store, path)?,
            };
            let Some(content) = known else {
                refuse_weak(jobs, candidate, &source)?;
                let need = Need {
                    source,
                    offer: candidate.offer,
                    urls: None,
                    package: package.clone(),
                    codenames: vec![codename.clone()],
                };
                self.missing.insert(path.clone(), Box::new(need));
                continue;
            };
            refuse_difference(store, (path, &source.promise), &content)
                .map_err(|error| of_rule(jobs, candidate, error))?;
            self.there.insert(path.clone(), content);
        }
        Ok(())
    }

    /// The places of the missing files among these, for a report.
    pub fn missing_of<'c>(&self, candidate: &'c Candidate) -> Vec<&'c ArchivePath> {
        let places = candidate.paths.iter();
        places.filter(|path| self.missing.contains_key(*path)).collect()
    }

    /// How many files are missing, and how many bytes they have.
    pub fn total(&self) -> (usize, u64) {
        let sizes = self.missing.values().filter_map(|need| need.source.promise.size_bytes);
        (self.missing.len(), sizes.fold(0, u64::saturating_add))
    }

    /// How many bytes the missing files take where blocks have `block_bytes`, less what is there of them already.
    pub fn bytes_to_store(&self, archive: &Archive<'_>, block_bytes: u64) -> u64 {
        let room = waiting_room(archive);
        let left = self.missing.iter().map(|(path, need)| {
            let size = need.source.promise.size_bytes.unwrap_or(0);
            let place = room.join(need.key(path).to_string());
            let arrived = fs::metadata(place).map_or(0, |found| found.len());
            let blocks = size.saturating_sub(arrived).div_ceil(block_bytes.max(1));
            blocks.saturating_mul(block_bytes)
        });
        left.fold(0, u64::saturating_add)
    }

    /// The same without what is here already.
    pub fn without(mut self, files: &Files) -> Self {
        self.missing.retain(|path, _| !files.has(path));
        self
    }
}

fn of_rule(jobs: &Jobs<'_>, candidate: &Candidate, error: OpsError) -> OpsError {
    match jobs.sources.get(candidate.offer) {
        Some(source) => Error::Rule {
            rule: source.rule.name.clone(),
            source: Box::new(error),
        }
        .into(),
        None => error,
    }
}

/// What tells a .deb from others, in one line.
pub(super) fn deb_identity(name: &PackageName, version: &Version, architecture: &PackageArchitecture) -> Box<str> {
    format!("{name} {version} {architecture}").into()
}

fn refuse_weak(jobs: &Jobs<'_>, candidate: &Candidate, PartSource { from, promise }: &PartSource) -> Result<()> {
    let Some(source) = jobs.sources.get(candidate.offer) else {
        return Ok(());
    };
    let upstream = jobs.upstreams.get(source.upstream);
    if upstream.is_none_or(|upstream| upstream.relies_on(promise)) {
        return Ok(());
    }
    let rule = source.rule.name.clone();
    let source = Arc::new(mirror::Error::weak(&format!("its `{}`", source.path), from, promise));
    Err(Error::Upstream { rule, source }.into())
}

fn contradiction((path, need): (&ArchivePath, &Need), jobs: &Jobs<'_>, candidate: &Candidate) -> Error {
    let rule = |offer: usize| jobs.sources.get(offer).map(|source| source.rule.name.clone());
    Error::Contradiction {
        path: path.to_string(),
        first: rule(need.offer).unwrap_or_default(),
        second: rule(candidate.offer).unwrap_or_default(),
    }
}

/// The content of a pool file that can be relied on; none if it must be fetched.
pub(super) fn in_pool(archive: &Archive<'_>, store: &Store, path: &ArchivePath) -> Result<Option<FileDigests>> {
    let Some(record) = store.pool_file(path)? else {
        return Ok(None);
    };
    if record.unreferenced_since.is_none() {
        return Ok(Some(record.content));
    }
    // a crash may have torn a file that nothing refers to
    match fsio::digest_file(&path.to_fs_path(&archive.directories.out)) {
        Ok(content) if content.digests.sha256 == record.content.digests.sha256 => Ok(Some(record.content)),
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn refuse_difference(store: &Store, (path, promise): (&ArchivePath, &Promise), content: &FileDigests) -> Result<()> {
    let differences = promise.broken_by(content);
    if differences.is_empty() {
        return Ok(());
    }
    Err(OpsError::OtherContent {
        path: path.clone(),
        differences,
        references: store.references(path)?.iter().map(describe).collect(),
    })
}
