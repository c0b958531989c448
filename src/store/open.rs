//! The open store of the one writer: the tables at the journal's last line.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fsio::lock::Lock;
use crate::model::{ArchivePath, Codename, Entry, FileDigests, IndexId, PackageName, PoolFile, SourceName, Version};

use super::blocks::RootId;
use super::error::{Error, Result};
use super::journal::{HeadChange, Journal, Provenance, State};
use super::keys::{HeadId, Listed};
use super::objects::Objects;
use super::snapshot::Snapshot;
use super::tables::Tables;
use super::txn::WriteTxn;

/// What the pool knows of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// Its size and digests.
    pub content: FileDigests,
    /// Unix seconds since when nothing refers to it; none while something does.
    pub unreferenced_since: Option<i64>,
}

/// What refers to a pool file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A package in an index.
    Package {
        /// The index.
        index: IndexId,
        /// The package.
        name: PackageName,
        /// Its version.
        version: Version,
    },
    /// A tracked source of a distribution.
    Track {
        /// The distribution.
        codename: Codename,
        /// The source.
        source: SourceName,
        /// Its version.
        version: Version,
    },
}

/// The open store of the one writer. Dropping it writes and closes the tables; the lock lasts as long as it does.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    objects: Objects,
    journal: Journal,
    state: RefCell<State>,
    tables: Tables,
    // after the tables: fields are dropped in this order
    _lock: Arc<Lock>,
}

impl Store {
    pub(super) fn new(directory: &Path, state: State, tables: Tables, lock: Arc<Lock>) -> Self {
        Self {
            directory: directory.to_owned(),
            objects: Objects::at(directory),
            journal: Journal::at(directory),
            state: RefCell::new(state),
            tables,
            _lock: lock,
        }
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn head(&self, head: &HeadId) -> Option<RootId> {
        self.state.borrow().heads.get(head).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.borrow().heads.is_empty()
    }

    pub(super) fn all_roots(&self) -> BTreeSet<RootId> {
        self.state.borrow().heads.values().copied().collect()
    }

    /// The object files: derived indexes are kept there, and named by a published record.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The state as it is now, this writer's commits included.
    ///
    /// # Errors
    /// None today.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(&self.state.borrow(), self.objects.clone()))
    }

    /// Every package, in any index, that was built from this source (a source package is of itself).
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn by_source(&self, source: &SourceName) -> Result<Vec<(IndexId, Entry)>> {
        let heads = &self.state.borrow().heads;
        let rows = self.tables.by_source(&self.objects, heads, source.as_str())?;
        let package = |(head, listed)| match (head, listed) {
            (HeadId::Index(index), Listed::Package(entry)) if entry.source == *source => Some((index, entry)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(package).collect())
    }

    /// What refers to a pool file.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn references(&self, path: &ArchivePath) -> Result<Vec<Reference>> {
        let heads = &self.state.borrow().heads;
        let found = self.tables.references(&self.objects, heads, path)?;
        let reference = |(head, listed)| match (head, listed) {
            (HeadId::Index(index), Listed::Package(entry)) => Some(Reference::Package {
                index,
                name: entry.name,
                version: entry.version,
            }),
            (HeadId::Tracks(codename), Listed::Track(track)) => Some(Reference::Track {
                codename,
                source: track.source,
                version: track.version,
            }),
            _ => None,
        };
        Ok(found.into_iter().filter_map(reference).collect())
    }

    /// What the pool knows of one file.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn pool_file(&self, path: &ArchivePath) -> Result<Option<PoolRecord>> {
        let Some(content) = self.tables.pool_content(path)? else {
            return Ok(None);
        };
        Ok(Some(PoolRecord {
            content,
            unreferenced_since: self.tables.unreferenced_since(path)?,
        }))
    }

    /// All files of the pool, sorted by path.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn pool_files(&self) -> Result<Vec<(ArchivePath, PoolRecord)>> {
        pool_files(&self.tables)
    }

    /// Files to which nothing has referred since `before` or longer (Unix seconds), sorted by path.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn unreferenced(&self, before: i64) -> Result<Vec<(ArchivePath, PoolRecord)>> {
        let mut found = Vec::new();
        for (path, since) in self.tables.unreferenced_rows()? {
            if since <= before
                && let Some(content) = self.tables.pool_content(&path)?
            {
                let unreferenced_since = Some(since);
                found.push((
                    path,
                    PoolRecord {
                        content,
                        unreferenced_since,
                    },
                ));
            }
        }
        Ok(found)
    }

    /// Registers files that are about to be renamed into the pool, as unreferenced since `now`; durable at return, so
    /// that a crash leaves no file that nobody knows. Files that something refers to stay as they are.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the pool knows a file by that path with another content, or the tables cannot be written.
    pub fn announce_files(&self, files: impl Iterator<Item = PoolFile> + Clone, now: i64) -> Result<()> {
        for file in files.clone() {
            self.tables.check_content(&file)?;
        }
        for file in files {
            self.tables.announce(&file, now)?;
        }
        self.tables.flush()
    }

    /// Forgets files that were removed from the pool.
    ///
    /// # Errors
    /// The tables cannot be written.
    pub fn forget_files(&self, paths: &[ArchivePath]) -> Result<()> {
        for path in paths {
            self.tables.forget(path)?;
        }
        self.tables.flush()
    }

    /// Begins the changes of one command.
    #[must_use]
    pub fn begin(&self) -> WriteTxn<'_> {
        WriteTxn::new(self)
    }

    /// Appends a line to the journal, which is the commit, and lets the tables follow.
    pub(super) fn append(&self, provenance: &Provenance, heads: BTreeMap<HeadId, HeadChange>) -> Result<u64> {
        let (next, line) = self.journal.append(&self.state.borrow(), provenance, heads)?;
        *self.state.borrow_mut() = next;
        let state = self.state.borrow();
        let followed = self
            .tables
            .apply(&self.objects, &state.heads, &line)
            .and_then(|()| self.tables.reach(&state.position))
            .and_then(|()| self.journal.write_checkpoint(&state));
        match followed {
            Ok(()) => Ok(line.sequence),
            Err(source) => Err(Error::AfterCommit {
                sequence: line.sequence,
                source: Box::new(source),
            }),
        }
    }
}

/// All rows of the pool's table.
pub(super) fn pool_files(tables: &Tables) -> Result<Vec<(ArchivePath, PoolRecord)>> {
    let unreferenced = tables.unreferenced_rows()?;
    let record = |(path, content)| {
        let unreferenced_since = unreferenced.get(&path).copied();
        (
            path,
            PoolRecord {
                content,
                unreferenced_since,
            },
        )
    };
    Ok(tables.pool_rows()?.into_iter().map(record).collect())
}
