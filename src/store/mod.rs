//! The archive's state. API skeleton: bodies follow.
#![allow(clippy::unimplemented, missing_docs, unused_variables, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    ArchivePath, Codename, Entry, FileDigests, IndexId, ListedPackage, PackageName, PoolFile, Sha256, SourceName,
    Track, Version,
};

/// The SHA-256 of a root object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootId(pub Sha256);
/// The SHA-256 of a block's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockId(pub Sha256);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("placeholder")]
    Placeholder,
}
pub type Result<T> = std::result::Result<T, Error>;

/// The database directory (`+b/db`).
#[derive(Debug)]
pub struct Database {
    dir: PathBuf,
}

impl Database {
    /// Opens or makes the directory; checks the format version. Opens no sled.
    pub fn at(dir: &Path) -> Result<Self> {
        unimplemented!()
    }
    /// Takes db/lock.
    pub fn lock(&self, command: &str, patience: Duration) -> Result<WriteGuard> {
        unimplemented!()
    }
    /// The state as it is now: heads read from sled (waiting a bounded time for its process lock; from the journal
    /// where sled cannot be opened), then sled is closed again. Never needs db/lock.
    pub fn snapshot(&self) -> Result<Snapshot> {
        unimplemented!()
    }
    /// What was last published of a distribution.
    pub fn tracks_and_more_for_readers(&self) {}
}

/// The right to write: holds db/lock until dropped.
#[derive(Debug)]
pub struct WriteGuard {}
impl WriteGuard {
    /// Opens sled for a short section: rolled forward to the journal, rebuilt if damaged. Dropping it flushes and closes.
    pub fn open(&self) -> Result<Store> {
        unimplemented!()
    }
    /// Messages of what the last open had to repair, for the user.
    pub fn repairs(&self) -> Vec<String> {
        unimplemented!()
    }
}

/// A consistent view: heads at one moment over immutable objects. Holds no sled, no lock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {}
impl Snapshot {
    pub fn heads(&self) -> &BTreeMap<IndexId, RootId> {
        unimplemented!()
    }
    pub fn head(&self, index: &IndexId) -> Option<RootId> {
        unimplemented!()
    }
    /// All entries of an index in key order (tables only; no stanza is read).
    pub fn entries(&self, index: &IndexId) -> Result<Vec<Entry>> {
        unimplemented!()
    }
    /// All versions of one package in an index.
    pub fn find(&self, index: &IndexId, name: &PackageName) -> Result<Vec<Entry>> {
        unimplemented!()
    }
    /// The stanza of one package.
    pub fn package(&self, index: &IndexId, name: &PackageName, version: &Version) -> Result<Option<ListedPackage>> {
        unimplemented!()
    }
    pub fn tracks(&self, codename: &Codename) -> Result<Vec<Track>> {
        unimplemented!()
    }
    pub fn tracks_of(&self, codename: &Codename, source: &SourceName) -> Result<Vec<Track>> {
        unimplemented!()
    }
    /// The object store (publish reads blocks and writes derived Contents blocks through it).
    pub fn objects(&self) -> &objects::Objects {
        unimplemented!()
    }
}
pub mod objects {
    //! placeholder
    /// placeholder
    #[derive(Debug)]
    pub struct Objects {}
}

/// What the pool knows of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolRecord {
    pub content: FileDigests,
    /// Unix seconds since when nothing refers to it; None while something does.
    pub unreferenced_since: Option<i64>,
}

/// Who refers to a pool file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Package {
        index: IndexId,
        name: PackageName,
        version: Version,
    },
    Track {
        codename: Codename,
        source: SourceName,
        version: Version,
    },
}

/// Who did what, for the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Provenance {
    pub unix_seconds: i64,
    pub user: String,
    pub command: String,
}

/// The open store of the one writer.
#[derive(Debug)]
pub struct Store {}
impl Store {
    pub fn snapshot(&self) -> Result<Snapshot> {
        unimplemented!()
    }
    /// Every package, in any index, built from this source (a source package is of itself).
    pub fn by_source(&self, source: &SourceName) -> Result<Vec<(IndexId, Entry)>> {
        unimplemented!()
    }
    pub fn pool_file(&self, path: &ArchivePath) -> Result<Option<PoolRecord>> {
        unimplemented!()
    }
    pub fn pool_files(&self) -> Result<Vec<(ArchivePath, PoolRecord)>> {
        unimplemented!()
    }
    /// Registers files that are about to be renamed into the pool, as unreferenced since `now`; durable at return, so
    /// that a crash leaves no file that nobody knows.
    pub fn announce_files(&self, files: &[PoolFile], now: i64) -> Result<()> {
        unimplemented!()
    }
    /// Forgets files that were removed from the pool.
    pub fn forget_files(&self, paths: &[ArchivePath]) -> Result<()> {
        unimplemented!()
    }
    pub fn references(&self, path: &ArchivePath) -> Result<Vec<Reference>> {
        unimplemented!()
    }
    /// Files unreferenced since `before` or longer.
    pub fn unreferenced(&self, before: i64) -> Result<Vec<(ArchivePath, PoolRecord)>> {
        unimplemented!()
    }
    /// Paths in a .deb, each without leading `/` or `./`; bytes, sorted.
    pub fn file_list(&self, deb: &Sha256) -> Result<Option<Vec<Vec<u8>>>> {
        unimplemented!()
    }
    pub fn put_file_list(&self, deb: &Sha256, paths: &[Vec<u8>]) -> Result<()> {
        unimplemented!()
    }
    /// The publisher's own record (opaque bytes) of a distribution.
    pub fn published(&self, codename: &Codename) -> Result<Option<Vec<u8>>> {
        unimplemented!()
    }
    /// `keeps` are the roots that the record names, which garbage collection must keep.
    pub fn set_published(&self, codename: &Codename, record: &[u8], keeps: &[RootId]) -> Result<()> {
        unimplemented!()
    }
    pub fn begin(&self) -> WriteTxn<'_> {
        unimplemented!()
    }
}

/// All changes of one command; nothing happens before `commit`.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    _store: &'a Store,
}
impl WriteTxn<'_> {
    pub fn put(&mut self, index: &IndexId, package: ListedPackage) {
        unimplemented!()
    }
    pub fn remove(&mut self, index: &IndexId, name: &PackageName, version: &Version) {
        unimplemented!()
    }
    pub fn put_track(&mut self, codename: &Codename, track: Track) {
        unimplemented!()
    }
    pub fn remove_track(&mut self, codename: &Codename, source: &SourceName, version: &Version) {
        unimplemented!()
    }
    /// Objects, sync, journal line, sled: at return the change survives a crash. No change at all: no line.
    pub fn commit(self, provenance: &Provenance) -> Result<Commit> {
        unimplemented!()
    }
}
#[derive(Debug, Clone)]
pub struct Commit {
    pub sequence: Option<u64>,
    pub changed: Vec<IndexId>,
}
