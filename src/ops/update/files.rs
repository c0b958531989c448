//! The files that the new packages of a run need, as far as they are there: in the pool, or beside it where they wait
//! for their distribution's commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ingest::SpooledFile;
use crate::model::{ArchivePath, Codename, FileDigests, PoolFile, Sha256};
use crate::store::Store;

use super::super::archive::Archive;
use super::super::{Error as OpsError, Result};
use super::candidate::Candidate;
use super::download::waiting_room;
use super::needs::in_pool;

/// What came of the files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Each file that is there now, in the pool or beside it.
    found: BTreeMap<ArchivePath, Box<Found>>,
    /// Whether no other distribution asks after the one at hand.
    pub is_last_use: bool,
    /// For each distribution that lacks a file, why; the first reason.
    pub failed: BTreeMap<Codename, Arc<OpsError>>,
    /// What came, by rule.
    pub fetched: BTreeMap<String, Fetched>,
}

/// A file that is there. A first mirror has tens of thousands.
#[derive(Debug)]
struct Found {
    content: FileDigests,
    /// Its name in the waiting room, as long as it is there.
    waits_as: Option<Sha256>,
}

/// What a rule brought.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub files: u64,
    pub bytes: u64,
    /// How long it took until the last of them was here.
    pub time: Duration,
}

impl Files {
    /// The files of a package as the pool has or gets them; none if one failed.
    pub fn of(&self, candidate: &Candidate) -> Option<Vec<PoolFile>> {
        let mut files = Vec::with_capacity(candidate.paths.len());
        for path in &candidate.paths {
            files.push(PoolFile {
                path: path.clone(),
                content: self.found.get(path)?.content,
            });
        }
        Some(files)
    }

    /// Whether this file waits to be put into the pool.
    pub fn has(&self, path: &ArchivePath) -> bool {
        self.found.get(path).is_some_and(|found| found.waits_as.is_some())
    }

    /// Takes a file that came out, to be put into the pool; none if it is there, or somebody took it.
    ///
    /// # Errors
    /// Never for a file that came.
    pub fn take(&mut self, archive: &Archive<'_>, path: &ArchivePath) -> Result<Option<SpooledFile>> {
        let Some(found) = self.found.get_mut(path) else {
            return Ok(None);
        };
        let Some(key) = found.waits_as.take() else {
            return Ok(None);
        };
        let place = waiting_room(archive).join(key.to_string());
        Ok(Some(SpooledFile::waiting(place, found.content)?))
    }

    /// Notes that the pool has a file.
    pub fn note_in_pool(&mut self, path: ArchivePath, content: FileDigests) {
        let waits_as = None;
        self.found.insert(path, Box::new(Found { content, waits_as }));
    }

    /// Notes that a file came, and its name in the waiting room.
    pub fn note_waiting(&mut self, path: ArchivePath, content: FileDigests, key: Sha256) {
        let waits_as = Some(key);
        self.found.insert(path, Box::new(Found { content, waits_as }));
    }

    /// Makes room for publishing, once the last plan is made.
    pub fn forget_if_last(&mut self) {
        if self.is_last_use {
            self.found.clear();
        }
    }

    /// Whether a package's files are here, or still in the pool.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn are_there(&self, archive: &Archive<'_>, store: &Store, candidate: &Candidate) -> Result<bool> {
        for path in &candidate.paths {
            let Some(found) = self.found.get(path) else {
                return Ok(false);
            };
            if found.waits_as.is_none() {
                let there = in_pool(archive, store, path)?;
                if there.is_none_or(|content| content.digests.sha256 != found.content.digests.sha256) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
