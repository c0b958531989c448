//! Which files the new packages of a run need: those that the pool has, and those that must be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fsio;
use crate::mirror;
use crate::model::{ArchivePath, Codename, FileDigests, Sha256};
use crate::store::Store;

use super::super::archive::Archive;
use super::super::lookup::describe;
use super::super::{Error as OpsError, Result};
use super::Error;
use super::candidate::{Candidate, Part};
use super::download::{Files, waiting_room};
use super::jobs::Jobs;

/// A file that is not in the pool.
#[derive(Debug)]
pub(super) struct Need {
    pub part: Part,
    pub urls: Vec<String>,
    pub rule: String,
    pub settings: mirror::TransferSettings,
    /// For a .deb: package, version and architecture that it must have.
    pub package: Option<[String; 3]>,
    pub codenames: BTreeSet<Codename>,
}

impl Need {
    /// Where it waits in the waiting room.
    pub fn place(&self, room: &Path) -> PathBuf {
        // two places can have the same content: each is a file of its own
        let key = Sha256::of(format!("{} {:?}", self.part.path, self.part.promise).as_bytes());
        room.join(key.to_string())
    }
}

/// The files that the new packages of all distributions need.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub missing: BTreeMap<ArchivePath, Need>,
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
        wanted: (&Codename, &Candidate),
    ) -> Result<()> {
        let (codename, candidate) = wanted;
        for part in &candidate.parts {
            if let Some(need) = self.missing.get_mut(&part.path) {
                if need.part.promise.contradicts(&part.promise) {
                    return Err(contradiction(need, jobs, candidate).into());
                }
                need.codenames.insert(codename.clone());
                continue;
            }
            let known = match self.there.get(&part.path) {
                Some(content) => Some(*content),
                None => in_pool(archive, store, part)?,
            };
            match known {
                Some(content) => {
                    refuse_difference(store, part, &content).map_err(|error| of_rule(jobs, candidate, error))?;
                    self.there.insert(part.path.clone(), content);
                }
                None => self.miss(jobs, codename, candidate, part)?,
            }
        }
        Ok(())
    }

    fn miss(&mut self, jobs: &Jobs<'_>, codename: &Codename, candidate: &Candidate, part: &Part) -> Result<()> {
        let Some(source) = jobs.sources.get(candidate.offer) else {
            return Ok(());
        };
        let Some(upstream) = jobs.upstreams.get(source.upstream) else {
            return Ok(());
        };
        let rule = source.rule.name.clone();
        if !upstream.relies_on(&part.promise) {
            let source = mirror::Error::weak(&format!("its `{}`", source.path), &part.from, &part.promise);
            let source = Arc::new(source);
            return Err(Error::Upstream { rule, source }.into());
        }
        let package = candidate.architecture.as_ref().map(|architecture| {
            [
                candidate.name.to_string(),
                candidate.version.to_string(),
                architecture.to_string(),
            ]
        });
        let need = Need {
            urls: upstream.archive_urls(&part.from),
            rule,
            settings: upstream.settings.clone(),
            part: part.clone(),
            package,
            codenames: BTreeSet::from([codename.clone()]),
        };
        self.missing.insert(part.path.clone(), need);
        Ok(())
    }

    /// The places of the missing files among these, for a report.
    pub fn missing_of<'c>(&self, candidate: &'c Candidate) -> Vec<&'c ArchivePath> {
        let places = candidate.parts.iter().map(|part| &part.path);
        places.filter(|path| self.missing.contains_key(*path)).collect()
    }

    /// How many files are missing, and how many bytes they have.
    pub fn total(&self) -> (usize, u64) {
        let sizes = self.missing.values().filter_map(|need| need.part.promise.size_bytes);
        (self.missing.len(), sizes.fold(0, u64::saturating_add))
    }

    /// How many bytes the missing files take where blocks have `block_bytes`, less what is there of them already.
    pub fn bytes_to_store(&self, archive: &Archive<'_>, block_bytes: u64) -> u64 {
        let room = waiting_room(archive);
        let left = self.missing.values().map(|need| {
            let size = need.part.promise.size_bytes.unwrap_or(0);
            let arrived = fs::metadata(need.place(&room)).map_or(0, |found| found.len());
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

fn contradiction(need: &Need, jobs: &Jobs<'_>, candidate: &Candidate) -> Error {
    let second = jobs.sources.get(candidate.offer).map(|source| source.rule.name.clone());
    Error::Contradiction {
        path: need.part.path.to_string(),
        first: need.rule.clone(),
        second: second.unwrap_or_default(),
    }
}

/// The content of a pool file that can be relied on; none if it must be fetched.
pub(super) fn in_pool(archive: &Archive<'_>, store: &Store, part: &Part) -> Result<Option<FileDigests>> {
    let Some(record) = store.pool_file(&part.path)? else {
        return Ok(None);
    };
    if record.unreferenced_since.is_none() {
        return Ok(Some(record.content));
    }
    // a crash may have torn a file that nothing refers to
    match fsio::digest_file(&part.path.to_fs_path(&archive.directories.out)) {
        Ok(content) if content.digests.sha256 == record.content.digests.sha256 => Ok(Some(record.content)),
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn refuse_difference(store: &Store, part: &Part, content: &FileDigests) -> Result<()> {
    let differences = part.promise.broken_by(content);
    if differences.is_empty() {
        return Ok(());
    }
    Err(OpsError::OtherContent {
        path: part.path.clone(),
        differences,
        references: store.references(&part.path)?.iter().map(describe).collect(),
    })
}
