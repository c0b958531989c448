//! The read view: heads at one moment over objects that never change. It holds no lock and no tables.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::model::{Codename, Entry, IndexId, ListedPackage, PackageName, SourceName, Track, Version};

use super::blocks::{BlockId, BlockRef, Root, RootId, Row, group};
use super::error::Result;
use super::journal::State;
use super::keys::{self, HeadId};
use super::objects::Objects;

/// How many blocks of an index are read at a time, by all threads.
const BLOCKS_AT_A_TIME: usize = 64;

/// A consistent view of the archive. Cheap to clone; holds no lock.
#[derive(Debug, Clone)]
pub struct Snapshot {
    sequence: u64,
    heads: Arc<BTreeMap<IndexId, RootId>>,
    tracks: Arc<BTreeMap<Codename, RootId>>,
    objects: Objects,
    /// Roots that were read already: one for each head at most.
    roots: Arc<Mutex<BTreeMap<RootId, Arc<Root>>>>,
}

impl Snapshot {
    pub(super) fn new(state: &State, objects: Objects) -> Self {
        let (mut heads, mut tracks) = (BTreeMap::new(), BTreeMap::new());
        for (head, root) in &state.heads {
            match head {
                HeadId::Index(index) => drop(heads.insert(index.clone(), *root)),
                HeadId::Tracks(codename) => drop(tracks.insert(codename.clone(), *root)),
            }
        }
        Self {
            sequence: state.position.sequence,
            heads: heads.into(),
            tracks: tracks.into(),
            objects,
            roots: Arc::default(),
        }
    }

    /// The number of the last change in it, 0 for an archive that never had any.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The root of every index that is not empty.
    #[must_use]
    pub fn heads(&self) -> &BTreeMap<IndexId, RootId> {
        &self.heads
    }

    /// The root of an index; none if it is empty.
    #[must_use]
    pub fn head(&self, index: &IndexId) -> Option<RootId> {
        self.heads.get(index).copied()
    }

    /// The distributions that have tracked sources.
    pub fn tracked(&self) -> impl Iterator<Item = &Codename> {
        self.tracks.keys()
    }

    /// The object store.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The parsed root of an index; empty if it has none.
    ///
    /// # Errors
    /// The root is damaged.
    pub fn root(&self, index: &IndexId) -> Result<Arc<Root>> {
        self.root_of(self.head(index))
    }

    fn root_of(&self, id: Option<RootId>) -> Result<Arc<Root>> {
        let Some(id) = id else {
            return Ok(Arc::default());
        };
        // a panic elsewhere cannot leave this map half changed
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = roots.get(&id) {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(self.objects.root(id)?);
        roots.insert(id, Arc::clone(&root));
        Ok(root)
    }

    /// All packages of an index in key order. Their stanzas are not read.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn entries(&self, index: &IndexId) -> Result<Vec<Entry>> {
        self.all_rows(self.head(index), keys::decode_entry)
    }

    /// Name and version of all packages of an index, in key order.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn versions(&self, index: &IndexId) -> Result<Vec<(PackageName, Version)>> {
        self.all_rows(self.head(index), |key, _| keys::decode_name(key))
    }

    /// Looks packages of an index up; quick for names in ascending order.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn reader(&self, index: &IndexId) -> Result<EntryReader> {
        Ok(EntryReader {
            objects: self.objects.clone(),
            root: self.root(index)?,
            last: None,
        })
    }

    /// All versions of one package in an index.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn find(&self, index: &IndexId, name: &PackageName) -> Result<Vec<Entry>> {
        self.rows_of_group(self.head(index), name.as_str(), keys::decode_entry)
    }

    /// One package with its stanza.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn package(&self, index: &IndexId, name: &PackageName, version: &Version) -> Result<Option<ListedPackage>> {
        let root = self.root(index)?;
        let key = keys::item_key(name.as_str(), version);
        let Some(at) = root.block_of(&key) else {
            return Ok(None);
        };
        let block = self.objects.block(&at.block)?;
        let Some(item) = block.find(&key) else {
            return Ok(None);
        };
        Ok(Some(ListedPackage {
            entry: keys::decode_entry(&key, item.meta)?,
            text: item.text.to_vec(),
        }))
    }

    /// Calls `each` for every package of an index with its stanza, in key order. One block is in memory at a time.
    ///
    /// # Errors
    /// The index is damaged, or `each` fails.
    pub fn for_each_package(&self, index: &IndexId, mut each: impl FnMut(Entry, &[u8]) -> Result<()>) -> Result<()> {
        for block in self.objects.blocks_of(&*self.root(index)?) {
            let (_, block) = block?;
            for item in block.items() {
                each(keys::decode_entry(item.key, item.meta)?, item.text)?;
            }
        }
        Ok(())
    }

    /// All tracked sources of a distribution.
    ///
    /// # Errors
    /// Their index is damaged.
    pub fn tracks(&self, codename: &Codename) -> Result<Vec<Track>> {
        self.all_rows(self.tracks.get(codename).copied(), keys::decode_track)
    }

    /// The tracked versions of one source in a distribution.
    ///
    /// # Errors
    /// Their index is damaged.
    pub fn tracks_of(&self, codename: &Codename, source: &SourceName) -> Result<Vec<Track>> {
        let root = self.tracks.get(codename).copied();
        self.rows_of_group(root, source.as_str(), keys::decode_track)
    }

    /// Calls `each` with all packages of an index in key order, some at a time, until it breaks off. Versions of one
    /// package come together.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn entries_by_parts(
        &self,
        index: &IndexId,
        each: impl FnMut(Vec<Entry>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        self.rows_by_parts(self.head(index), keys::decode_entry, each)
    }

    fn all_rows<T: Send>(&self, root: Option<RootId>, decode: Decode<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let _ = self.rows_by_parts(root, decode, |rows| {
            all.extend(rows);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    fn rows_by_parts<T: Send>(
        &self,
        root: Option<RootId>,
        decode: Decode<T>,
        mut each: impl FnMut(Vec<T>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let rows_of = |at: &BlockRef| -> Result<Vec<T>> {
            let rows = self.objects.block_table(&at.block)?;
            rows.iter().map(|row| Ok(decode(&row.key, &row.meta)?)).collect()
        };
        for part in self.root_of(root)?.blocks().chunks(BLOCKS_AT_A_TIME) {
            let blocks: Vec<Vec<T>> = part.par_iter().map(rows_of).collect::<Result<_>>()?;
            for rows in blocks {
                if each(rows).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn rows_of_group<T>(&self, root: Option<RootId>, name: &str, decode: Decode<T>) -> Result<Vec<T>> {
        let root = self.root_of(root)?;
        let Some(at) = root.block_of_group(name.as_bytes()) else {
            return Ok(Vec::new());
        };
        let rows = self.objects.block_table(&at.block)?;
        let of_group = rows.iter().filter(|row| group(&row.key) == name.as_bytes());
        let decoded = of_group.map(|Row { key, meta, .. }| Ok(decode(key, meta)?));
        decoded.collect()
    }
}

/// Looks packages of one index up, keeping the last block that it read.
#[derive(Debug)]
pub struct EntryReader {
    objects: Objects,
    root: Arc<Root>,
    last: Option<(BlockId, Vec<Row>)>,
}

impl EntryReader {
    /// All versions of a package.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn find(&mut self, name: &PackageName) -> Result<Vec<Entry>> {
        let name = name.as_str().as_bytes();
        let Some(at) = self.root.block_of_group(name) else {
            return Ok(Vec::new());
        };
        let rows = match self.last.take() {
            Some((block, rows)) if block == at.block => rows,
            _ => self.objects.block_table(&at.block)?,
        };
        let of_name = rows.iter().filter(|row| group(&row.key) == name);
        let found = of_name.map(|row| Ok(keys::decode_entry(&row.key, &row.meta)?));
        let found = found.collect();
        self.last = Some((at.block, rows));
        found
    }
}

type Decode<T> = fn(&[u8], &[u8]) -> std::result::Result<T, super::blocks::CodecError>;
